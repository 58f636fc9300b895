"""Orders are stored in groups: those that are placed at the same moment share one transaction."""

from collections.abc import Sequence

from contracts.order import Order
from infra.database.postgres import Transaction
from infra.messaging.rpc_client import Reply
from services.order.domain import events
from services.order.domain.order_numbers import format_order_number
from services.order.domain.orders import OrderDraft
from services.order.handlers import coupon_redemption
from services.order.store import insert as store
from services.order.store.insert import StoredOrders


class OrderExists(Exception):  # noqa: N818 - control flow: the order is answered as it is
    """An order of this hold, or of this version of the cart, was stored before."""


class RulesChanged(Exception):  # noqa: N818 - control flow: the order is priced again
    """The pricing rules have changed since the order was priced."""


async def write_orders(
    members: Sequence[tuple[Transaction, tuple[OrderDraft, float]]],
) -> list[Reply[Order] | Exception]:
    """Stores orders with their events and coupon uses.

    An order that existed before, was priced by rules that have changed, or does not get its coupon is an exception in
    the list: nothing of it is stored.
    """
    connection = members[0][0].connection
    stored = await store.insert(connection, [item for _, item in members])
    new = [draft for _, (draft, _) in members if draft.order.id in stored.serials]
    refused = await coupon_redemption.take_uses(connection, new)
    return [refused.get(draft.order.id) or _publish(tx, draft, stored) for tx, (draft, _) in members]


def _publish(tx: Transaction, draft: OrderDraft, stored: StoredOrders) -> Reply[Order] | Exception:
    serial = stored.serials.get(draft.order.id)
    if serial is None:
        return OrderExists() if draft.rules_version == stored.rules_version else RulesChanged()
    order = draft.order.model_copy(update={"number": format_order_number(serial)})
    tx.publish(events.placed_event(draft, order))
    return tx.reply(order, version=1)
