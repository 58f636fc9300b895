"""Cancelling units of a paid order that have not left: what goes back to the customer, and what follows for the order.

The shares of a line are cumulative: however its units are cancelled, one by one or together, they add up to what was
paid for the line. Shipping stays paid. Once nothing has left and nothing is kept, the whole order is cancelled instead,
and all of its money goes back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import ConfigDict

from contracts.model import Id, Model, Timestamp
from contracts.money import Money, divide_half_up
from contracts.order import CancelReason, IllegalTransition, Order, OrderItem, OrderStatus, SkuQuantity
from services.order.domain.fulfilments import advance, lines_of, require_left, units_left

MAX_CANCELLATIONS = 100
"""Of units of one order: each is a refund of its own."""


class Cancellation(Model):
    """Units that were cancelled together, and the amount that goes back for them. Its refund has the same id."""

    model_config = ConfigDict(extra="ignore")  # another release may have stored it

    id: Id
    items: list[SkuQuantity]
    amount: Money
    reason: CancelReason
    at: Timestamp


def is_whole(order: Order, requested: Sequence[SkuQuantity] | None) -> bool:
    """Whether cancelling the requested units, or all that have not left, leaves nothing of the order."""
    if order.fulfilments:
        return False
    left = units_left(order.items, [])
    return requested is None or {line.sku: line.quantity for line in requested} == left


def cancel_units(
    order: Order,
    requested: Sequence[SkuQuantity] | None,
    reason: CancelReason,
    *,
    earlier: int,
    cancellation_id: UUID,
    at: datetime,
) -> tuple[Order, Cancellation]:
    """Cancels the requested units, or all that have not left. Returns the order after it, and the cancellation.

    `earlier` is the number of cancellations before; after many, only all that is left can be cancelled.
    Raises `IllegalTransition` or `FulfilmentExceedsOrder` when they cannot be cancelled.
    """
    if order.status is not OrderStatus.PAID:
        raise IllegalTransition("A part of an order can only be cancelled while the order is paid and has not left.")
    if earlier >= MAX_CANCELLATIONS and requested is not None:
        raise IllegalTransition(f"Units of this order were cancelled {earlier} times. Cancel all that have not left.")
    left = units_left(order.items, order.fulfilments)
    units = left if requested is None else require_left(requested, left)
    amount = sum(
        refund_of(item, units[item.sku], tax_included=order.tax_included) for item in order.items if item.sku in units
    )
    cancellation = Cancellation(
        id=cancellation_id,
        items=lines_of(units),
        amount=Money(amount=amount, currency=order.total.currency),
        reason=reason,
        at=at,
    )
    return advance(order.model_copy(update={"items": _without(order.items, units)}), at), cancellation


def refund_of(item: OrderItem, units: int, *, tax_included: bool) -> int:
    """Returns what goes back when so many more units of a line are cancelled, in minor units."""
    tax = 0 if tax_included else sum(line.amount.amount for line in item.tax_lines)
    paid = item.line_total.amount - item.discount.amount + tax
    before, after = (
        divide_half_up(paid * cancelled, item.quantity) for cancelled in (item.cancelled, item.cancelled + units)
    )
    return after - before


def _without(items: Sequence[OrderItem], units: Mapping[str, int]) -> list[OrderItem]:
    return [item.model_copy(update={"cancelled": item.cancelled + units.get(item.sku, 0)}) for item in items]
