"""What was mailed to somebody: all of it to them, and no word of it once they want it erased.

That something was told of an order stays, as ids: the audit looks for it. A mail that is queued later, when an event
comes late or again, finds nobody to go to, and is not sent.
"""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Request
from services.notification.handlers.events import NotificationDeps
from services.notification.store import deliveries as store

PAGE = 100


async def erase(desk: NotificationDeps, ask: Request[EraseUserData]) -> EraseProgress:
    user_id = ask.body.user_id
    async with desk.db.connection() as connection:
        await store.erase_person(connection, user_id, ask.body.order_ids)
    failpoint("notification.erased")
    await desk.db.forget_replies(user_id, [str(user_id)])
    return EraseProgress()


async def export(desk: NotificationDeps, ask: Request[ExportUserData]) -> UserDataPart:
    body = ask.body
    before = cursor.decode_id_cursor(body.after)
    async with desk.db.connection() as connection:
        found = await store.page(connection, user_id=body.user_id, before=before, limit=PAGE + 1)
    page, following = cursor.paginate(found, PAGE)
    return UserDataPart(notifications=page, next=following)
