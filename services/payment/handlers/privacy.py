"""What payments tell of somebody: all of it to them, and nothing beside ids and sums once they want it erased."""

from contracts.privacy import ErasedPart, ErasePerson, ExportPerson, HeldPart
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Ask
from services.payment.deps import Shop
from services.payment.store import payments
from services.payment.store import privacy as erasing

PAGE = 100


async def erase(shop: Shop, ask: Ask[ErasePerson]) -> ErasedPart:
    user_id = ask.body.user_id
    async with shop.db.connection() as connection:
        await erasing.erase(connection, user_id, ask.body.order_ids)
    crash_point("payment.erased")
    await shop.db.forget(user_id, [str(user_id)])
    return ErasedPart()


async def export(shop: Shop, ask: Ask[ExportPerson]) -> HeldPart:
    body = ask.body
    before = cursor.id_in(body.after)
    async with shop.db.connection() as connection:
        found = await payments.list_page(connection, user_id=body.user_id, order_id=None, before=before, limit=PAGE + 1)
    page, following = cursor.page(found, PAGE)
    return HeldPart(payments=[payment.told() for payment in page], next=following)
