"""Export and erasure of what was mailed to a customer.

That a notice about an order was sent stays recorded, as ids, because `souk verify` looks for it. A mail that is queued
after an erasure, by a late or repeated event, has no recipient and is not sent.
"""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.foundation.failpoints import failpoint
from infra.foundation.pagination import decode_id_cursor, paginate
from infra.messaging.rpc_client import Request
from services.notification.deps import NotificationDeps
from services.notification.store import deliveries

PAGE_SIZE = 100


async def erase(deps: NotificationDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Erases the content of the customer's mails, and the stored replies that mention the customer."""
    user_id = request.body.user_id
    async with deps.db.connection() as connection:
        await deliveries.erase_person(connection, user_id, request.body.order_ids)
    failpoint("notification.erased")
    await deps.db.forget_replies(user_id, [str(user_id)])
    return EraseProgress()


async def export(deps: NotificationDeps, request: Request[ExportUserData]) -> UserDataPart:
    """Returns one page of the customer's notifications."""
    body = request.body
    async with deps.db.connection() as connection:
        found = await deliveries.page(
            connection, user_id=body.user_id, before=decode_id_cursor(body.after), limit=PAGE_SIZE + 1
        )
    page, next_cursor = paginate(found, PAGE_SIZE)
    return UserDataPart(notifications=page, next=next_cursor)
