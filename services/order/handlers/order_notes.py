"""Administrators add notes to an order: internal ones, and those that its customer reads."""

from contracts.card_numbers import contains_card_number
from contracts.failure import FieldError, NotFound
from contracts.order import MAX_NOTES, AddOrderNote, Order, OrderNote, TooManyOrderNotes
from contracts.payment import CardNumberRefused
from infra.foundation.ids import now
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.orders import with_all_notes
from services.order.store import order_notes, queries


async def add_note(deps: OrderDeps, request: Request[AddOrderNote]) -> Reply[Order]:
    """Adds a note and returns the order with all of its notes."""
    body = request.body
    if contains_card_number(body.text):
        detail = "This contains a card number. Leave it out."
        raise CardNumberRefused(errors=[FieldError(pointer="/text", detail=detail)])
    async with deps.db.transaction(request) as tx:
        record = await queries.lock(tx.connection, body.id)
        if record is None:
            raise NotFound
        if len(record.notes) >= MAX_NOTES:
            raise TooManyOrderNotes
        note = OrderNote(
            text=body.text, shown_to_customer=body.shown_to_customer, author_id=request.user.user_id, at=now()
        )
        changed = await order_notes.add(tx.connection, body.id, note)
        return tx.reply(with_all_notes(changed), version=changed.version)
