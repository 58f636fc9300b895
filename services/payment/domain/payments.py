"""A payment, and what the outcome of a charge makes of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts import payment as contract
from contracts.card_numbers import contains_card_number
from contracts.gift_cards import GiftCardPart
from contracts.money import Money
from contracts.order import OrderStatus
from contracts.payment import AlreadyPaid, CardNumberRefused, NotPayable, PaymentStatus
from services.payment.domain.charges import GATEWAY_TIMEOUT, ORDER_CANCELLED, ChargeOutcome, ChargeState, ChargeStep

NO_GATEWAY = "none"
"""The provider of a payment that leaves nothing for a gateway to charge."""


@dataclass(frozen=True, slots=True)
class PaymentRecord:
    """A stored payment. Amounts are in minor units of `currency`; `refunding` is reserved for refunds under way.

    `gift_card_amount` is the part of `amount` that gift cards pay.
    """

    id: UUID
    order_id: UUID
    user_id: UUID | None
    amount: int
    currency: str
    refunded: int
    refunding: int
    status: PaymentStatus
    provider: str
    failure_code: str | None
    client_secret: str | None
    cancelled: bool
    traceparent: str
    request_id: str
    created_at: datetime
    gift_card_amount: int = 0

    @property
    def refundable(self) -> int:
        """The amount that can still be refunded."""
        return self.amount - self.refunded - self.refunding

    def money(self, amount: int) -> Money:
        """Returns an amount in the currency of the payment."""
        return Money(amount=amount, currency=self.currency)

    def to_contract(self) -> contract.Payment:
        """Returns the payment as clients see it. The client secret is included only while it is needed."""
        needs_secret = self.status is PaymentStatus.REQUIRES_ACTION
        return contract.Payment(
            id=self.id,
            order_id=self.order_id,
            amount=self.money(self.amount),
            gift_card_amount=self.money(self.gift_card_amount),
            refunded=self.money(self.refunded),
            status=self.status,
            provider=self.provider,
            failure_code=self.failure_code,
            client_secret=self.client_secret if needs_secret else None,
            created_at=self.created_at,
        )


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment of an order, in the trace of the event or request that asks for it."""

    id: UUID
    order_id: UUID
    user_id: UUID | None
    money: Money
    provider: str
    traceparent: str
    request_id: str
    gift_cards: GiftCardPart | None = None

    @property
    def gift_card_amount(self) -> int:
        """The part of the amount that gift cards pay."""
        return self.gift_cards.amount.amount if self.gift_cards else 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an outcome makes of a payment. With a `follow_up`, that step has to end before the payment is settled.

    `refund` is the amount to refund at once.
    """

    payment_id: UUID
    status: PaymentStatus
    failure_code: str | None = None
    client_secret: str | None = None
    refund: int = 0
    follow_up: ChargeStep | None = None


def reject_card_number(*texts: str | None) -> None:
    """Raises `CardNumberRefused` when a text contains a card number, before anything stores it."""
    if any(text and contains_card_number(text) for text in texts):
        raise CardNumberRefused


def provider_of(total: Money, gift_cards: GiftCardPart | None, gateway: str) -> str:
    """Returns the provider of a new payment: the gateway, or `NO_GATEWAY` when it has nothing to charge."""
    paid = gift_cards.amount.amount if gift_cards else 0
    return gateway if total.amount > paid else NO_GATEWAY


def require_payable(status: OrderStatus) -> None:
    """Raises `AlreadyPaid` or `NotPayable` unless the order waits for its payment."""
    if status in (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        raise AlreadyPaid
    if status is not OrderStatus.PENDING:
        raise NotPayable


def settle(payment: PaymentRecord, outcome: ChargeOutcome) -> Settlement:
    """Decides what a processing payment becomes. A capture for a cancelled order is refunded at once."""
    if outcome.state is ChargeState.CAPTURED:
        refund = payment.refundable if payment.cancelled else 0
        return Settlement(payment.id, PaymentStatus.CAPTURED, refund=refund)
    if outcome.state is ChargeState.ACTION_REQUIRED:
        if payment.cancelled:
            return Settlement(payment.id, PaymentStatus.PROCESSING, follow_up=ChargeStep.VOID)
        return Settlement(payment.id, PaymentStatus.REQUIRES_ACTION, client_secret=outcome.client_secret)
    code = outcome.failure_code or (ORDER_CANCELLED if payment.cancelled else GATEWAY_TIMEOUT)
    return Settlement(payment.id, PaymentStatus.FAILED, failure_code=code)
