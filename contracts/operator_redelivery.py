"""The redelivery operation: an operator hands an event to a service once more.

The event may be a dead letter, an old one, or one that `souk verify` found missing. The service handles it on the same
path as an event from the stream, so it takes effect once, however often it is redelivered.
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
    """What the service did with the event."""

    APPLIED = "applied"
    """The event has taken effect now."""
    ALREADY_APPLIED = "known"
    """The event had taken effect before; the service did nothing."""
    IGNORED = "ignored"
    """The service has nothing that this event could affect, now or later."""


class RedeliverEvent(Model):
    """An event as its stream holds it."""

    id: Annotated[Id, Field(description="The event's own id (`ce-id`), by which duplicates are recognised.")]
    type: Annotated[str, Field(description="`ce-type`", examples=["souk.order.paid"])]
    data: Annotated[str, Field(description="The body, JSON as text.")]
    subject: Annotated[str | None, Field(description="The subject that it was published on.")] = None
    traceparent: Annotated[str | None, Field(description="The trace that the event belongs to.")] = None
    request_id: Annotated[str | None, Field(description="The request that caused the event.")] = None


class RedeliveryResult(Model):
    """The result of a redelivery."""

    outcome: RedeliveryOutcome


class DeliveredTooEarly(Fail, status=HTTPStatus.CONFLICT, code="heard_too_soon"):
    """An earlier event must be handled before this one."""


class EventHandlingFailed(Fail, status=HTTPStatus.CONFLICT, code="effect_failed"):
    """The event was read but handling it failed, and its changes were rolled back."""


def redelivery_operation(service: str) -> Operation[RedeliverEvent, RedeliveryResult]:
    """Returns the redelivery operation of a service."""
    return Operation(
        service,
        "hear",
        RedeliverEvent,
        RedeliveryResult,
        "Handle an event once more",
        Access.SERVICE,
        (DeliveredTooEarly, EventHandlingFailed),
        callers=(OPERATOR,),
        writes=True,
    )
