"""Exports and erases a user's data: their reviews.

Stock movements and imports name their author by account id, which identifies no person once the account is deleted.
"""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.foundation.failpoints import failpoint
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Request
from services.catalog.deps import CatalogDeps
from services.catalog.store import reviews

PAGE_SIZE = 100


async def erase(deps: CatalogDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Erases the author and the texts of the user's reviews, then the stored replies to the user or about them.

    The ratings stay and still count. The reviews come first, so that a reply stored meanwhile holds no personal data.
    """
    user_id = request.body.user_id
    async with deps.db.connection() as connection:
        await reviews.erase(connection, user_id)
    failpoint("catalog.erased")
    await deps.db.forget_replies(user_id, [str(user_id)])
    return EraseProgress()


async def export(deps: CatalogDeps, request: Request[ExportUserData]) -> UserDataPart:
    """Returns a page of the user's reviews, the oldest first."""
    body = request.body
    after = decode_id_cursor(body.after)
    async with deps.db.connection() as connection:
        found = await reviews.list_for_export(connection, body.user_id, after, PAGE_SIZE + 1)
    page, following = paginate(found, PAGE_SIZE)
    return UserDataPart(reviews=page, next=following)
