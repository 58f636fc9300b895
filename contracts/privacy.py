"""Personal data: the operations by which user exports or erases a person's data in the other services.

user coordinates both. Erasure removes the data that identify a person. Orders, money and stock stay as ids and numbers.
"""

from typing import Annotated

from pydantic import Field

from contracts.cart import CheckoutLine
from contracts.catalog import Review
from contracts.identity import Access
from contracts.model import Cursor, Id, Model, PageCursor, SingleLine, Timestamp
from contracts.notification import Notification
from contracts.operation import AnyOperation, Operation
from contracts.order import IssuedInvoice, Order
from contracts.payment import Payment

COORDINATOR = "user"
MAX_GUEST_ORDERS = 100
"""Guest orders in one request."""

DATA_HOLDERS = ("order", "payment", "notification", "cart", "catalog")
"""The other services, in the order in which they erase."""


class EraseUserData(Model):
    """An account, and the guest orders that were placed with its e-mail. The e-mail itself is sent to no service."""

    user_id: Id
    order_ids: Annotated[list[Id], Field(max_length=MAX_GUEST_ORDERS, description="Guest orders of this person.")] = []


class GuestOrdersRequest(Model):
    """Asks for the orders that guests placed with one of these e-mails."""

    emails: Annotated[list[SingleLine], Field(min_length=1, max_length=2, description="In lower case.")]
    user_id: Annotated[
        Id | None, Field(description="The account with this e-mail. Orders that it has claimed are found too.")
    ] = None
    after: Annotated[Id | None, Field(description="The last id of the previous reply.")] = None


class GuestOrderIds(Model):
    """Ids in ascending order; an empty list is the end."""

    order_ids: list[Id]


class EraseProgress(Model):
    """How far a service has come."""

    more: Annotated[bool, Field(description="Whether there is more to erase; then send the request again.")] = False


class ExportUserData(Model):
    """Asks a service for the data it holds on a person."""

    user_id: Id
    emails: Annotated[
        list[SingleLine],
        Field(max_length=2, description="The verified e-mail in lower case, as a guest may have entered it."),
    ]
    after: Annotated[PageCursor, Field(description="The `next` of the previous part.")] = None


class ExportedCart(Model):
    """A cart without current prices."""

    id: Annotated[str, Field(description="The cart's id.")]
    lines: Annotated[list[CheckoutLine], Field(description="What is in the cart.")]
    expires_at: Timestamp
    coupon: Annotated[str | None, Field(description="The code of the coupon in use.")] = None


class UserDataPart(Model):
    """A part of the data that one service holds on a person, small enough for one message."""

    carts: list[ExportedCart] = []
    orders: list[Order] = []
    invoices: list[IssuedInvoice] = []
    payments: list[Payment] = []
    notifications: list[Notification] = []
    reviews: list[Review] = []
    next: Cursor | None = None


def erase_operation(service: str) -> Operation[EraseUserData, EraseProgress]:
    """Returns the operation by which a service erases a person's data."""
    return Operation(
        service,
        "erase",
        EraseUserData,
        EraseProgress,
        "Erase the data that identify a person; repeating it is harmless",
        Access.SERVICE,
        callers=(COORDINATOR,),
        writes=True,
    )


def export_operation(service: str) -> Operation[ExportUserData, UserDataPart]:
    """Returns the operation by which a service exports a person's data."""
    return Operation(
        service,
        "export",
        ExportUserData,
        UserDataPart,
        "Export the data held on a person, part by part",
        Access.SERVICE,
        callers=(COORDINATOR,),
    )


GUEST_ORDERS = Operation(
    "order",
    "guest_orders",
    GuestOrdersRequest,
    GuestOrderIds,
    "Find the orders that guests placed with an e-mail",
    Access.SERVICE,
    callers=(COORDINATOR,),
)
ERASE = {service: erase_operation(service) for service in DATA_HOLDERS}
EXPORT = {service: export_operation(service) for service in DATA_HOLDERS}

OPERATIONS: tuple[AnyOperation, ...] = (GUEST_ORDERS, *ERASE.values(), *EXPORT.values())
