"""Notes that administrators add to an order: internal ones, and those that the customer reads."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import VISIBLE, Id, Model, MultilineText, Timestamp

MAX_NOTES = 100
"""Notes of one order."""


class TooManyOrderNotes(Fail, status=HTTPStatus.CONFLICT, code="too_many_order_notes"):
    """An order can have at most 100 notes."""


class OrderNote(Model):
    """A note on an order."""

    text: Annotated[MultilineText, Field(description="What the note says.")]
    shown_to_customer: Annotated[bool, Field(description="Whether the customer reads it with the order.")]
    author_id: Annotated[
        Id | None, Field(description="The administrator or API key that added it; null for the customer.")
    ] = None
    at: Annotated[Timestamp, Field(description="When it was added.")]


class AddOrderNote(Model):
    """A note to be added. An internal one is shown to administrators, and in an export of the customer's data."""

    id: Id
    text: Annotated[
        MultilineText,
        StringConstraints(min_length=1, max_length=2000, strip_whitespace=True),
        VISIBLE,
        Field(description="What the note says; never a card number."),
    ]
    shown_to_customer: Annotated[bool, Field(description="Whether the customer reads it with the order.")] = False
