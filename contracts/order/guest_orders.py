"""Guests' orders: how a guest finds one again, and how an account takes it over."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail, NotFound
from contracts.identity import Access
from contracts.model import Email, Empty, Model, SingleLine
from contracts.operation import Operation, OwnedResource
from contracts.order.orders import SERVICE, Order, OrderRef


class TooManyOrderLookups(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_order_lookups"):
    """Too many orders were looked up from this address."""


class LookUpOrder(Model):
    """The number of a guest's order, and the e-mail that it was placed with."""

    number: Annotated[SingleLine, Field(description="The number of the order.")]
    email: Annotated[Email, Field(description="The e-mail that the order was placed with.")]


LOOK_UP = Operation(
    SERVICE,
    "look_up",
    LookUpOrder,
    Empty,
    "Have a link to a guest's order mailed; the reply does not tell whether there is one",
    Access.ANYONE,
    (TooManyOrderLookups,),
    writes=True,
)
CLAIM = Operation(
    SERVICE,
    "claim",
    OrderRef,
    Order,
    "Make an order that was placed as a guest one's own; the account's verified e-mail must be that of the order",
    Access.CUSTOMER,
    (NotFound,),
    writes=True,
    owned_resources=(OwnedResource("order", id_field="id"),),
)

GUEST_ORDER_OPERATIONS = (LOOK_UP, CLAIM)
