"""payment: charges, refunds and the double-entry ledger."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.event import Event
from contracts.failure import Fail, InvalidCursor, NotFound
from contracts.gift_cards import GIFT_CARD_OPERATIONS, GiftCardPart
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, MultilineText, PageParams, Secret, SingleLine, Timestamp
from contracts.money import MAX_AMOUNT, Money
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.repair import RepairRequest, RepairResult
from contracts.text_patterns import text_format

SERVICE = "payment"

PaymentMethod = Annotated[
    str,
    text_format(
        r"^[A-Za-z0-9_ -]+$",
        "Send a payment method's token: letters, digits, spaces, `_` and `-`.",
        min_length=1,
        max_length=128,
    ),
]
"""A gateway's token for a means of payment. Card numbers are refused."""


class CardNumberRefused(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="card_number_refused"):
    """Do not send a card number; send the payment provider's token."""


class NotPayable(Fail, status=HTTPStatus.CONFLICT, code="not_payable"):
    """The order is not waiting for a payment."""


class AlreadyPaid(Fail, status=HTTPStatus.CONFLICT, code="already_paid"):
    """The order is already paid, or a payment is in progress."""


class NotRefundable(Fail, status=HTTPStatus.CONFLICT, code="not_refundable"):
    """The payment has no captured amount to refund."""


class RefundExceedsPayment(Fail, status=HTTPStatus.CONFLICT, code="refund_exceeds_payment"):
    """The refund is larger than the amount left of the payment."""


class PaymentMethodUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="payment_method_unknown"):
    """No payment gateway accepts this payment method."""


class PaymentStatus(StrEnum):
    """How far a payment has come."""

    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    CAPTURED = "captured"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    DISPUTED = "disputed"


class Payment(Model):
    """A payment of an order."""

    id: Id
    order_id: Id
    amount: Annotated[Money, Field(description="What the payment charges, gift cards included.")]
    gift_card_amount: Annotated[
        Money,
        Field(
            default_factory=lambda payment: Money(amount=0, currency=payment["amount"].currency),
            description="The part of the amount that gift cards pay.",
        ),
    ]
    refunded: Annotated[Money, Field(description="What has been refunded so far.")]
    status: PaymentStatus
    provider: Annotated[
        str, Field(description="The payment gateway; `none` if it has nothing to charge.", examples=["simulator"])
    ]
    failure_code: Annotated[str | None, Field(description="Why the gateway declined it, if it failed.")] = None
    client_secret: Annotated[
        str | None, Field(description="Send it to confirm a payment whose status is `requires_action`.")
    ] = None
    created_at: Timestamp


class CreatePayment(Model):
    """An order to pay, and how."""

    order_id: Id
    payment_method: Annotated[PaymentMethod, Field(description="The payment provider's token to charge.")]


class PaymentRef(Model):
    """Names a payment."""

    id: Id


class ListPayments(PageParams):
    """Filters of a list of payments."""

    order_id: Annotated[Id | None, Field(description="Only payments of this order.")] = None


class ConfirmPayment(Model):
    """The second step of a payment whose status is `requires_action`."""

    id: Id
    client_secret: Annotated[Secret, Field(max_length=255, description="The payment's `client_secret`.")]


class RefundPayment(Model):
    """What to refund, and why."""

    id: Id
    amount: Annotated[
        int | None, Field(ge=1, le=MAX_AMOUNT, description="Minor units; without it, the whole amount left.")
    ] = None
    reason: Annotated[
        MultilineText | None, StringConstraints(max_length=500), Field(description="Why the money is refunded.")
    ] = None


class ChargeOrder(Model):
    """An order to charge."""

    order_id: Id
    user_id: Id | None
    amount: Money
    payment_method: PaymentMethod
    gift_cards: Annotated[GiftCardPart | None, Field(description="The part that the gateway does not charge.")] = None


class ChargeLookup(Model):
    """A charge that may have been requested before, and the idempotency key of that request."""

    charge: ChargeOrder
    key: Annotated[str, StringConstraints(max_length=255)]


class PaidOrdersRequest(Model):
    """Asks for the payments of these orders."""

    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class PaymentEvent(Model):
    """The fields of every event of a payment."""

    payment_id: Id
    order_id: Id
    amount: Money


class PaymentCaptured(PaymentEvent, Event, service=SERVICE, name="captured", key="payment_id"):
    """The payment of an order was captured."""


class PaymentFailed(PaymentEvent, Event, service=SERVICE, name="failed", key="payment_id"):
    """The payment of an order failed for good."""

    failure_code: SingleLine


class PaymentActionRequired(PaymentEvent, Event, service=SERVICE, name="action_required", key="payment_id"):
    """The customer must confirm the payment."""


class PaymentRefunded(PaymentEvent, Event, service=SERVICE, name="refunded", key="payment_id"):
    """Money was refunded: `amount` this time, `refunded` in total; `full` if nothing is left."""

    refund_id: Id
    refunded: Money
    full: bool


CUSTOMER, ADMIN = Access.CUSTOMER, Access.ADMIN

CREATE = Operation(
    SERVICE,
    "create",
    CreatePayment,
    Payment,
    "Pay an order",
    CUSTOMER,
    (NotFound, NotPayable, AlreadyPaid, PaymentMethodUnknown, CardNumberRefused),
    writes=True,
    owned_resources=(OwnedResource("order", id_field="order_id", open_to_order_tokens=True),),
)
GET = Operation(
    SERVICE,
    "get",
    PaymentRef,
    Payment,
    "Read a payment",
    CUSTOMER,
    (NotFound,),
    owned_resources=(OwnedResource("payment", id_field="id", open_to_admins=True, open_to_order_tokens=True),),
)
LIST = Operation(
    SERVICE,
    "list",
    ListPayments,
    ListPage[Payment],
    "List payments",
    CUSTOMER,
    (InvalidCursor, NotFound),
    owned_resources=(OwnedResource("payments", open_to_admins=True, open_to_order_tokens=True),),
)
CONFIRM = Operation(
    SERVICE,
    "confirm",
    ConfirmPayment,
    Payment,
    "Confirm a payment that needs a second step",
    CUSTOMER,
    (NotFound, NotPayable),
    writes=True,
    owned_resources=(OwnedResource("payment", id_field="id", open_to_order_tokens=True),),
)
REFUND = Operation(
    SERVICE,
    "refund",
    RefundPayment,
    Payment,
    "Refund a payment, in whole or in part",
    ADMIN,
    (NotFound, NotRefundable, RefundExceedsPayment, CardNumberRefused),
    writes=True,
)
CHARGE = Operation(
    SERVICE,
    "charge",
    ChargeOrder,
    Payment,
    "Charge an order",
    Access.SERVICE,
    (AlreadyPaid, NotPayable, PaymentMethodUnknown, CardNumberRefused),
    ("order",),
    writes=True,
)
CHARGED = Operation(
    SERVICE,
    "charged",
    ChargeLookup,
    Payment,
    "Find the result of an earlier charge request",
    Access.SERVICE,
    (NotFound, AlreadyPaid, NotPayable),
    ("order",),
)
PAID = Operation(
    SERVICE,
    "paid",
    PaidOrdersRequest,
    ListPage[Payment],
    "Find the captured payments of orders",
    Access.SERVICE,
    callers=("order",),
)
REPAIR = Operation(
    SERVICE,
    "repair",
    RepairRequest,
    RepairResult,
    "Correct payments that are stuck or differ from the gateway's records",
    Access.SERVICE,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (CREATE, GET, LIST, CONFIRM, REFUND, CHARGE, CHARGED, PAID, REPAIR, *GIFT_CARD_OPERATIONS)
EVENTS = (PaymentCaptured, PaymentFailed, PaymentActionRequired, PaymentRefunded)
