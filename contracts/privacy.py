"""Personal data: what every service is asked when somebody wants all that is held on them, or has it erased.

user leads both and asks the others. What is erased are data that tell who somebody is; orders, money and stock stay, as
ids and figures.
"""

from typing import Annotated

from pydantic import Field

from contracts.cart import CheckoutLine
from contracts.identity import Access
from contracts.model import Cursor, Id, Line, Model, Time
from contracts.notification import Notification
from contracts.operation import AnyOperation, Operation
from contracts.order import Order
from contracts.payment import Payment

LEADER = "user"
MOST_ORDERS = 100
"""Guests' orders in one ask."""

KEEPERS = ("order", "payment", "notification", "cart", "catalog")
"""The other services, in the order in which they are asked to erase."""


class ErasePerson(Model):
    """An account, and the guests' orders that were placed with its e-mail: the e-mail itself is told to nobody."""

    user_id: Id
    order_ids: Annotated[list[Id], Field(max_length=MOST_ORDERS)] = []


class GuestOrdersOf(Model):
    """Orders that guests placed with one of these e-mails."""

    emails: Annotated[list[Line], Field(min_length=1, max_length=2, description="In lower case.")]
    after: Annotated[Id | None, Field(description="The last of the ids before.")] = None


class GuestOrders(Model):
    """Sorted; none is the end."""

    order_ids: list[Id]


class ErasedPart(Model):
    more: Annotated[bool, Field(description="It was much; ask again.")] = False


class ExportPerson(Model):
    user_id: Id
    emails: Annotated[list[Line], Field(max_length=2, description="Verified, in lower case, as a guest may say it.")]
    after: Annotated[Cursor | None, Field(description="The `next` of the part before.")] = None


class HeldCart(Model):
    """A cart without the prices of the day."""

    id: str
    lines: list[CheckoutLine]
    expires_at: Time


class HeldPart(Model):
    """A part of what one service holds on somebody: never more than a message takes."""

    carts: list[HeldCart] = []
    orders: list[Order] = []
    payments: list[Payment] = []
    notifications: list[Notification] = []
    next: Cursor | None = None


def erase_of(service: str) -> Operation[ErasePerson, ErasedPart]:
    return Operation(
        service,
        "erase",
        ErasePerson,
        ErasedPart,
        "Erase what tells who somebody is; again does no harm",
        Access.SERVICE,
        callers=(LEADER,),
        writes=True,
    )


def export_of(service: str) -> Operation[ExportPerson, HeldPart]:
    return Operation(
        service,
        "export",
        ExportPerson,
        HeldPart,
        "What is held on somebody, part by part",
        Access.SERVICE,
        callers=(LEADER,),
    )


GUEST_ORDERS = Operation(
    "order",
    "guest_orders",
    GuestOrdersOf,
    GuestOrders,
    "The orders that guests placed with an e-mail",
    Access.SERVICE,
    callers=(LEADER,),
)
ERASE = {service: erase_of(service) for service in KEEPERS}
EXPORT = {service: export_of(service) for service in KEEPERS}

OPERATIONS: tuple[AnyOperation, ...] = (GUEST_ORDERS, *ERASE.values(), *EXPORT.values())
