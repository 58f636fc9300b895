"""Personal data in payments: exports all of it to the person, and on request erases all but ids and amounts."""

from contracts.privacy import EraseProgress, EraseUserData, ExportUserData, UserDataPart
from infra.foundation import pagination
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Request
from services.payment.deps import PaymentDeps
from services.payment.store import payments
from services.payment.store import privacy as store

PAGE_SIZE = 100


async def erase(deps: PaymentDeps, request: Request[EraseUserData]) -> EraseProgress:
    """Erases the person's data, and the replies stored for them under idempotency keys."""
    user_id = request.body.user_id
    async with deps.db.connection() as connection:
        await store.erase(connection, user_id, request.body.order_ids)
    failpoint("payment.erased")
    await deps.db.forget_replies(user_id, [str(user_id)])
    return EraseProgress()


async def export(deps: PaymentDeps, request: Request[ExportUserData]) -> UserDataPart:
    """Returns a page of the person's payments, the newest first."""
    user_id, before = request.body.user_id, pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await payments.list_page(connection, user_id=user_id, order_id=None, before=before, limit=PAGE_SIZE + 1)
    page, next_cursor = pagination.paginate([payment.to_contract() for payment in found], PAGE_SIZE)
    return UserDataPart(payments=page, next=next_cursor)
