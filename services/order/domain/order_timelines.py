"""The past of an order, and whether it is complete."""

from datetime import datetime, timedelta

from contracts.order import Order, OrderStatus, OrderTimeline
from services.order.domain.states import NEXT_STATUSES

WITHDRAWAL_PERIOD = timedelta(days=14)
"""After delivery. Until it is over, the customer may withdraw from the contract and the order be refunded."""


def timeline_of(order: Order, now: datetime) -> OrderTimeline:
    """Returns the order's timeline."""
    return OrderTimeline(status=order.status, history=order.history, is_final=is_final(order, now))


def is_final(order: Order, now: datetime) -> bool:
    """Whether no other status can follow: there is none, or the order arrived so long ago that it is kept."""
    if order.status is OrderStatus.DELIVERED:
        reached = (entry.at for entry in order.history if entry.status is OrderStatus.DELIVERED)
        delivered_at = next(reached, order.updated_at)
        return now >= delivered_at + WITHDRAWAL_PERIOD
    return not NEXT_STATUSES[order.status]
