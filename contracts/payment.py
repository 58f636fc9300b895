"""payment: charges, refunds and the ledger that has to balance."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.event import Event
from contracts.failure import Fail, InvalidCursor, NotFound
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, MultilineText, PageParams, Secret, SingleLine, Timestamp
from contracts.money import MAX_AMOUNT, Money
from contracts.operation import OPERATOR, Operation, OwnedResource
from contracts.repair import RepairRequest, RepairResult

SERVICE = "payment"

PaymentMethod = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_ -]+$", min_length=1, max_length=128)]
"""A gateway's token for a means of payment, never a card number: that is refused."""


class CardNumberRefused(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """A card number never belongs here; send the payment provider's token."""


class NotPayable(Fail, status=HTTPStatus.CONFLICT):
    """The order does not wait for a payment."""


class AlreadyPaid(Fail, status=HTTPStatus.CONFLICT):
    """A payment of this order is under way or done already."""


class NotRefundable(Fail, status=HTTPStatus.CONFLICT):
    """There is nothing captured that could be refunded."""


class RefundExceedsPayment(Fail, status=HTTPStatus.CONFLICT):
    """The refund is more than what is left of the payment."""


class PaymentMethodUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """No gateway knows this payment method."""


class PaymentStatus(StrEnum):
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    CAPTURED = "captured"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"
    DISPUTED = "disputed"


class Payment(Model):
    id: Id
    order_id: Id
    amount: Money
    refunded: Money
    status: PaymentStatus
    provider: str
    failure_code: str | None = None
    client_secret: Annotated[str | None, Field(description="Confirms a payment that requires an action.")] = None
    created_at: Timestamp


class CreatePayment(Model):
    order_id: Id
    payment_method: PaymentMethod


class PaymentRef(Model):
    id: Id


class ListPayments(PageParams):
    order_id: Id | None = None


class ConfirmPayment(Model):
    """The second step of a payment that `requires_action`."""

    id: Id
    client_secret: Annotated[Secret, Field(max_length=255)]


class RefundPayment(Model):
    id: Id
    amount: Annotated[
        int | None, Field(ge=1, le=MAX_AMOUNT, description="Minor units; all that is left when not said.")
    ] = None
    reason: Annotated[MultilineText | None, StringConstraints(max_length=500)] = None


class ChargeOrder(Model):
    """An order's own ask to be charged."""

    order_id: Id
    user_id: Id | None
    amount: Money
    payment_method: PaymentMethod


class ChargeLookup(Model):
    """A charge that an order has asked for before, perhaps, and the idempotency key it was asked under."""

    charge: ChargeOrder
    key: Annotated[str, StringConstraints(max_length=255)]


class PaidOrdersRequest(Model):
    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]


class PaymentEvent(Model):
    """What every event of a payment says."""

    payment_id: Id
    order_id: Id
    amount: Money


class PaymentCaptured(PaymentEvent, Event, service=SERVICE, name="captured", key="payment_id"):
    """The money of an order was taken."""


class PaymentFailed(PaymentEvent, Event, service=SERVICE, name="failed", key="payment_id"):
    """The money of an order could not be taken, for good."""

    failure_code: SingleLine


class PaymentActionRequired(PaymentEvent, Event, service=SERVICE, name="action_required", key="payment_id"):
    """The customer has to take a second step."""


class PaymentRefunded(PaymentEvent, Event, service=SERVICE, name="refunded", key="payment_id"):
    """Money went back: `amount` this time, `refunded` in all, `full` when nothing is left."""

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
    owned_resources=(OwnedResource("order", id_field="order_id"),),
)
GET = Operation(
    SERVICE,
    "get",
    PaymentRef,
    Payment,
    "Read a payment",
    CUSTOMER,
    (NotFound,),
    owned_resources=(OwnedResource("payment", id_field="id", open_to_admins=True),),
)
LIST = Operation(
    SERVICE,
    "list",
    ListPayments,
    ListPage[Payment],
    "List payments",
    CUSTOMER,
    (InvalidCursor,),
    owned_resources=(OwnedResource("payments", open_to_admins=True),),
)
CONFIRM = Operation(
    SERVICE,
    "confirm",
    ConfirmPayment,
    Payment,
    "Take a payment's second step",
    CUSTOMER,
    (NotFound, NotPayable),
    writes=True,
    owned_resources=(OwnedResource("payment", id_field="id"),),
)
REFUND = Operation(
    SERVICE,
    "refund",
    RefundPayment,
    Payment,
    "Send money back",
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
    "What an order was told when it asked to be charged",
    Access.SERVICE,
    (NotFound, AlreadyPaid, NotPayable),
    ("order",),
)
PAID = Operation(
    SERVICE,
    "paid",
    PaidOrdersRequest,
    ListPage[Payment],
    "The payments that have taken the money of orders",
    Access.SERVICE,
    callers=("order",),
)
REPAIR = Operation(
    SERVICE,
    "repair",
    RepairRequest,
    RepairResult,
    "Put payments right that are stuck, or of which the gateway says something else",
    Access.SERVICE,
    callers=(OPERATOR,),
    writes=True,
)

OPERATIONS = (CREATE, GET, LIST, CONFIRM, REFUND, CHARGE, CHARGED, PAID, REPAIR)
EVENTS = (PaymentCaptured, PaymentFailed, PaymentActionRequired, PaymentRefunded)
