"""What the shop has acknowledged: every write of the load is noted before it is sent and again when it is answered.

What was answered with 2xx has to be there at the end, once. What was never answered may be there, once at the most; it
is recognised by its marker, the idempotency key, which the request also carries in its own text.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Lines = dict[str, int]
"""Units by SKU."""


@dataclass(slots=True)
class JournalOrder:
    """One order that somebody wanted; `id` is empty until it is acknowledged."""

    marker: str
    lines: Lines | None
    """None where it came from a cart that nobody was sure of."""
    method: str
    id: str = ""
    total: int = 0
    refused: bool = False
    cancelled: bool = False
    """So are these: said with 2xx."""
    shipped: bool = False
    delivered: bool = False


@dataclass(slots=True)
class JournalCart:
    """What a cart must hold; None once a change of it was not answered."""

    lines: Lines | None
    token: str = ""
    ordered: bool = False
    """Whether an order has taken its lines: they leave a little later."""


@dataclass(slots=True)
class JournalEntry:
    """One adjustment of stock, or one refund: `what` is the SKU or the payment."""

    target: str
    amount: int
    acknowledged: bool = False


@dataclass
class WriteJournal:
    """Everything that was asked for, by marker, id or e-mail."""

    users: dict[str, str] = field(default_factory=dict)
    """The id by e-mail."""
    carts: dict[str, JournalCart] = field(default_factory=dict)
    orders: dict[str, JournalOrder] = field(default_factory=dict)
    adjustments: dict[str, JournalEntry] = field(default_factory=dict)
    refunds: dict[str, JournalEntry] = field(default_factory=dict)
    captured: set[str] = field(default_factory=set)
    """Payments of which a client has read that the money is taken."""
    payments: dict[str, str] = field(default_factory=dict)
    """The order of each payment that was acknowledged."""
    wrong_responses: list[str] = field(default_factory=list)
    """Answers that cannot be right by themselves, as two that differ under one key."""

    def record_order_request(self, marker: str, lines: Lines | None, method: str) -> JournalOrder:
        self.orders[marker] = order = JournalOrder(marker, lines, method)
        return order

    def record_refund_request(self, marker: str, payment_id: str, amount: int) -> JournalEntry:
        self.refunds[marker] = entry = JournalEntry(payment_id, amount)
        return entry

    def record_adjustment_request(self, marker: str, sku: str, delta: int) -> JournalEntry:
        self.adjustments[marker] = entry = JournalEntry(sku, delta)
        return entry

    def record_placed(self, order: JournalOrder, answer: Any) -> None:
        """The shop says that the order is there, with these lines."""
        order.id, order.total = answer["id"], answer["total"]["amount"]
        lines = {item["sku"]: item["quantity"] for item in answer["items"]}
        if order.lines is not None and lines != order.lines:
            self.wrong_responses.append(f"order {order.id} was answered with {lines} instead of {order.lines}")
        order.lines = lines

    def record_payment(self, payment: Any) -> None:
        """The shop has shown this payment."""
        self.payments[payment["id"]] = payment["order_id"]
        if payment["status"] == "captured":
            self.captured.add(payment["id"])

    @property
    def acknowledged_counts(self) -> Counter[str]:
        """How many writes of each kind were answered with 2xx."""
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
