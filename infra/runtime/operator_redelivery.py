"""The server side of redelivery: applies an event sent by the operator on the same path as one from its stream.

An event that cannot be applied now is refused with the reason, and stays with the operator.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts.event import Event
from contracts.failure import Fail, FieldError, InvalidRequest
from contracts.operator_redelivery import (
    DeliveredTooEarly,
    EventHandlingFailed,
    RedeliverEvent,
    RedeliveryOutcome,
    RedeliveryResult,
)
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.telemetry import get_logger
from infra.messaging.consumer import (
    EventHandler,
    Inbox,
    RetryLater,
    describe_error,
    handle_event,
)
from infra.messaging.event_parser import ReceivedEvent, parse_event
from infra.messaging.rpc_client import Request

log = get_logger("souk.events")


class RedeliveryHandler:
    """Handles `rpc.<service>.hear`, the redelivery operation of a service."""

    def __init__(
        self,
        service: str,
        handlers: Mapping[type[Event], EventHandler],
        inbox: Inbox,
    ) -> None:
        self.service = service
        self.handlers = handlers
        self.inbox = inbox

    async def redeliver(
        self,
        deps: Any,  # each service's own dependencies, passed through to its handlers
        request: Request[RedeliverEvent],
    ) -> RedeliveryResult:
        """Applies one event and returns its outcome. Raises a `Fail` if it cannot be applied now, or at all."""
        received = self._parse(request.body)

        async def apply_event(tx: Any, received: ReceivedEvent) -> RedeliveryOutcome | None:
            if isinstance(tx, Transaction):
                tx.audit_action(request)
            return await handle_event(self.handlers, deps, tx, received)

        try:
            outcomes = await self.inbox.apply([received], apply_event)
        except RetryLater as error:
            raise DeliveredTooEarly(str(error) or None) from error
        except (*self.inbox.unavailable_errors, *self.inbox.contention_errors):
            raise
        except Fail as error:
            raise EventHandlingFailed(describe_error(error)) from error
        except Exception as error:
            log.exception("redelivered event failed")
            raise EventHandlingFailed(describe_error(error)) from error
        return RedeliveryResult(outcome=outcomes[received.event_id])

    def _parse(self, redelivery: RedeliverEvent) -> ReceivedEvent:
        try:
            event = parse_event(redelivery.type, redelivery.data)
        except ValidationError as error:
            raise InvalidRequest(errors=[FieldError(pointer="/data", detail=describe_error(error))]) from None
        except ValueError as error:
            raise InvalidRequest(errors=[FieldError(pointer="/type", detail=str(error))]) from None
        if type(event) not in self.handlers:
            detail = f"The {self.service} service does not subscribe to {redelivery.type}."
            raise InvalidRequest(errors=[FieldError(pointer="/type", detail=detail)])
        context = trace.parse(redelivery.traceparent, request_id=redelivery.request_id or "")
        return ReceivedEvent(redelivery.id, event, context)
