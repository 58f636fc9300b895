"""Every service that hears events can be handed one again: a dead letter, one of long ago, one that an audit misses.

It is heard by the same path as from the stream, so that it has its effect once, however often it is handed over.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from contracts.failure import Fail
from contracts.identity import Access
from contracts.model import Id, Model
from contracts.operation import OPERATOR, Operation


class RedeliveryOutcome(StrEnum):
    """What became of an event that was heard."""

    APPLIED = "applied"
    """It has had its effect now."""
    ALREADY_APPLIED = "known"
    """It had been heard before; nothing was done."""
    IGNORED = "ignored"
    """There is nothing here that it could have an effect on, and there will not be."""


class RedeliverEvent(Model):
    """An event as it was in its stream."""

    id: Annotated[Id, Field(description="The event's own id (`ce-id`), by which it is known again.")]
    type: Annotated[str, Field(description="`ce-type`", examples=["souk.order.paid"])]
    data: Annotated[str, Field(description="The body, JSON as text.")]
    subject: Annotated[str | None, Field(description="Where it was published.")] = None
    traceparent: str | None = None
    request_id: str | None = None


class RedeliveryResult(Model):
    outcome: RedeliveryOutcome


class DeliveredTooEarly(Fail, status=HTTPStatus.CONFLICT):
    """Something else has to be heard before this event."""


class EventHandlingFailed(Fail, status=HTTPStatus.CONFLICT):
    """The event was read, but its effect failed, and nothing of it is left."""


def redelivery_operation(service: str) -> Operation[RedeliverEvent, RedeliveryResult]:
    return Operation(
        service,
        "hear",
        RedeliverEvent,
        RedeliveryResult,
        "Hear an event again",
        Access.SERVICE,
        (DeliveredTooEarly, EventHandlingFailed),
        callers=(OPERATOR,),
        writes=True,
    )
