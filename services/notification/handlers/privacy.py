"""What was mailed to somebody: all of it to them, and no word of it once they want it erased.

That something was told of an order stays, as ids: the audit looks for it. A mail that is queued later, when an event
comes late or again, finds nobody to go to, and is not sent.
"""

from contracts.privacy import ErasedPart, ErasePerson, ExportPerson, HeldPart
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Ask
from services.notification.handlers.events import Desk
from services.notification.store import deliveries as store

PAGE = 100


async def erase(desk: Desk, ask: Ask[ErasePerson]) -> ErasedPart:
    user_id = ask.body.user_id
    async with desk.db.connection() as connection:
        await store.erase(connection, user_id, ask.body.order_ids)
    crash_point("notification.erased")
    await desk.db.forget(user_id, [str(user_id)])
    return ErasedPart()


async def export(desk: Desk, ask: Ask[ExportPerson]) -> HeldPart:
    body = ask.body
    before = cursor.id_in(body.after)
    async with desk.db.connection() as connection:
        found = await store.notifications(connection, user_id=body.user_id, before=before, most=PAGE + 1)
    page, following = cursor.page(found, PAGE)
    return HeldPart(notifications=page, next=following)
