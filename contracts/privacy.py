"""Personal data: what every service is asked when somebody wants all that is held on them, or has it erased.

user leads both and asks the others. What is erased are data that tell who somebody is; orders, money and stock stay, as
ids and figures.
"""

from typing import Annotated

from pydantic import Field

from contracts.cart import CheckoutLine
from contracts.identity import Access
from contracts.model import Cursor, Id, Model, SingleLine, Timestamp
from contracts.notification import Notification
from contracts.operation import AnyOperation, Operation
from contracts.order import Order
from contracts.payment import Payment

COORDINATOR = "user"
MAX_GUEST_ORDERS = 100
"""Guests' orders in one ask."""

DATA_HOLDERS = ("order", "payment", "notification", "cart", "catalog")
"""The other services, in the order in which they are asked to erase."""


class EraseUserData(Model):
    """An account, and the guests' orders that were placed with its e-mail: the e-mail itself is told to nobody."""

    user_id: Id
    order_ids: Annotated[list[Id], Field(max_length=MAX_GUEST_ORDERS)] = []


class GuestOrdersRequest(Model):
    """Orders that guests placed with one of these e-mails."""

    emails: Annotated[list[SingleLine], Field(min_length=1, max_length=2, description="In lower case.")]
    after: Annotated[Id | None, Field(description="The last of the ids before.")] = None


class GuestOrderIds(Model):
    """Sorted; none is the end."""

    order_ids: list[Id]


class EraseProgress(Model):
    more: Annotated[bool, Field(description="It was much; ask again.")] = False


class ExportUserData(Model):
    user_id: Id
    emails: Annotated[
        list[SingleLine], Field(max_length=2, description="Verified, in lower case, as a guest may say it.")
    ]
    after: Annotated[Cursor | None, Field(description="The `next` of the part before.")] = None


class ExportedCart(Model):
    """A cart without the prices of the day."""

    id: str
    lines: list[CheckoutLine]
    expires_at: Timestamp


class UserDataPart(Model):
    """A part of what one service holds on somebody: never more than a message takes."""

    carts: list[ExportedCart] = []
    orders: list[Order] = []
    payments: list[Payment] = []
    notifications: list[Notification] = []
    next: Cursor | None = None


def erase_operation(service: str) -> Operation[EraseUserData, EraseProgress]:
    return Operation(
        service,
        "erase",
        EraseUserData,
        EraseProgress,
        "Erase what tells who somebody is; again does no harm",
        Access.SERVICE,
        callers=(COORDINATOR,),
        writes=True,
    )


def export_operation(service: str) -> Operation[ExportUserData, UserDataPart]:
    return Operation(
        service,
        "export",
        ExportUserData,
        UserDataPart,
        "What is held on somebody, part by part",
        Access.SERVICE,
        callers=(COORDINATOR,),
    )


GUEST_ORDERS = Operation(
    "order",
    "guest_orders",
    GuestOrdersRequest,
    GuestOrderIds,
    "The orders that guests placed with an e-mail",
    Access.SERVICE,
    callers=(COORDINATOR,),
)
ERASE = {service: erase_operation(service) for service in DATA_HOLDERS}
EXPORT = {service: export_operation(service) for service in DATA_HOLDERS}

OPERATIONS: tuple[AnyOperation, ...] = (GUEST_ORDERS, *ERASE.values(), *EXPORT.values())
