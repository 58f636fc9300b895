"""The journal of writes: every write of the load is recorded before it is sent and when it is acknowledged.

A write acknowledged with 2xx must be in the stores at the end, once. A write without a response may be there at most
once; it is recognised by its marker, the idempotency key, which the request also carries in its text.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

LineQuantities = dict[str, int]
"""Units by SKU."""


@dataclass(slots=True)
class JournalOrder:
    """One requested order; `id` is empty until it is acknowledged."""

    marker: str
    lines: LineQuantities | None
    """None for a cart of unknown content."""
    method: str
    gift_card: bool = False
    """Whether a gift card pays a part of it: then one refund is several, and the journal refunds none."""
    id: str = ""
    total: int = 0
    refused: bool = False
    cancelled: bool = False
    """This and the following: acknowledged with 2xx."""
    shipped: bool = False
    delivered: bool = False


@dataclass(slots=True)
class JournalCart:
    """What a cart must hold; None after a change without a response."""

    lines: LineQuantities | None
    token: str = ""
    order: JournalOrder | None = None
    """The order of the lines, which leave the cart a little after it is paid."""


@dataclass(slots=True)
class JournalEntry:
    """One stock adjustment or refund; `target` is the SKU or the payment."""

    target: str
    amount: int
    acknowledged: bool = False


@dataclass
class WriteJournal:
    """Every requested write, by marker, id or email address."""

    users: dict[str, str] = field(default_factory=dict)
    """User ids by email address."""
    carts: dict[str, JournalCart] = field(default_factory=dict)
    orders: dict[str, JournalOrder] = field(default_factory=dict)
    adjustments: dict[str, JournalEntry] = field(default_factory=dict)
    refunds: dict[str, JournalEntry] = field(default_factory=dict)
    captured: set[str] = field(default_factory=set)
    """Payments that a client has seen as captured."""
    payments: dict[str, str] = field(default_factory=dict)
    """The order id of each acknowledged payment."""
    wrong_responses: list[str] = field(default_factory=list)
    """Responses that are wrong in themselves, such as different ones under one key."""

    def record_order_request(self, marker: str, lines: LineQuantities | None, method: str) -> JournalOrder:
        self.orders[marker] = order = JournalOrder(marker, lines, method)
        return order

    def record_refund_request(self, marker: str, payment_id: str, amount: int) -> JournalEntry:
        self.refunds[marker] = entry = JournalEntry(payment_id, amount)
        return entry

    def record_adjustment_request(self, marker: str, sku: str, delta: int) -> JournalEntry:
        self.adjustments[marker] = entry = JournalEntry(sku, delta)
        return entry

    def record_placed(self, order: JournalOrder, response: Any) -> None:
        """Records the acknowledged order with its lines."""
        order.id, order.total = response["id"], response["total"]["amount"]
        lines = {item["sku"]: item["quantity"] for item in response["items"]}
        if order.lines is not None and lines != order.lines:
            self.wrong_responses.append(f"order {order.id} was returned with {lines} instead of {order.lines}")
        order.lines = lines

    def record_payment(self, payment: Any) -> None:
        """Records a payment that the shop has returned."""
        self.payments[payment["id"]] = payment["order_id"]
        if payment["status"] == "captured":
            self.captured.add(payment["id"])

    @property
    def acknowledged_counts(self) -> Counter[str]:
        """The number of acknowledged writes of each kind."""
        orders = [order for order in self.orders.values() if order.id]
        return Counter(
            {
                "registrations": len(self.users),
                "carts": sum(cart.lines is not None for cart in self.carts.values()),
                "orders": len(orders),
                "cancellations": sum(order.cancelled for order in orders),
                "shipments": sum(order.shipped for order in orders),
                "payments": len(self.payments),
                "refunds": sum(entry.acknowledged for entry in self.refunds.values()),
                "adjustments of stock": sum(entry.acknowledged for entry in self.adjustments.values()),
            }
        )
