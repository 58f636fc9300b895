"""What payments tell of somebody: all of it to them, and nothing beside ids and sums once they want it erased."""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.foundation import pagination as cursor
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Request
from services.payment.deps import PaymentDeps
from services.payment.store import payments
from services.payment.store import privacy as erasing

PAGE_SIZE = 100


async def erase(shop: PaymentDeps, ask: Request[EraseUserData]) -> EraseProgress:
    user_id = ask.body.user_id
    async with shop.db.connection() as connection:
        await erasing.erase(connection, user_id, ask.body.order_ids)
    failpoint("payment.erased")
    await shop.db.forget_replies(user_id, [str(user_id)])
    return EraseProgress()


async def export(shop: PaymentDeps, ask: Request[ExportUserData]) -> UserDataPart:
    body = ask.body
    before = cursor.decode_id_cursor(body.after)
    async with shop.db.connection() as connection:
        found = await payments.list_page(
            connection, user_id=body.user_id, order_id=None, before=before, limit=PAGE_SIZE + 1
        )
    page, following = cursor.paginate(found, PAGE_SIZE)
    return UserDataPart(payments=[payment.to_contract() for payment in page], next=following)
