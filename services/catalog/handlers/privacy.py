"""Exports and erases a user's data.

The catalog stores no personal data except the replies that an administrator was given. Stock movements and imports name
their author by account id, which identifies no person once the account is deleted.
"""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.messaging.rpc import Request
from services.catalog.deps import CatalogDeps


async def erase(deps: CatalogDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Deletes the stored replies to the user."""
    await deps.db.forget_replies(request.body.user_id, [])
    return EraseProgress()


async def export(_deps: CatalogDeps, _request: Request[ExportUserData]) -> UserDataPart:
    """Returns nothing: the catalog has no data about users."""
    return UserDataPart()
