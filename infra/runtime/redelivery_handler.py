"""An event that the operator hands over once more, heard by the same path as one from its stream.

What cannot have its effect just now is refused with the reason; whoever has handed it over keeps it.
"""

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Tracer
from pydantic import ValidationError

from contracts.event import Event
from contracts.failure import Fail, FieldError, InvalidRequest
from contracts.redelivery import (
    DeliveredTooEarly,
    EventHandlingFailed,
    RedeliverEvent,
    RedeliveryOutcome,
    RedeliveryResult,
)
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.messaging.consumer import (
    EventHandler,
    Inbox,
    ReceivedEvent,
    RetryLater,
    describe_error,
    handle_event,
    parse_event,
)
from infra.messaging.rpc import Request

log = logging.getLogger("souk.events")


class RedeliveryHandler:
    """Answers `rpc.<service>.hear`."""

    def __init__(
        self,
        service: str,
        handlers: Mapping[type[Event], EventHandler],
        inbox: Inbox,
        tracer: Tracer | None,
    ) -> None:
        self.service = service
        self.handlers = handlers
        self.inbox = inbox
        self.tracer = tracer

    async def redeliver(
        self, deps: Any, request: Request[RedeliverEvent]
    ) -> RedeliveryResult:  # each service's own, passed through to its reactions
        delivery = self._parse(request.body)

        async def effect(tx: Any, delivery: ReceivedEvent) -> RedeliveryOutcome | None:
            if isinstance(tx, Transaction):
                tx.audit_action(request)
            return await handle_event(self.handlers, deps, self.tracer, tx, delivery)

        try:
            outcomes = await self.inbox.apply([delivery], effect)
        except RetryLater as error:
            raise DeliveredTooEarly(str(error) or None) from error
        except (*self.inbox.unavailable_errors, *self.inbox.contention_errors):
            raise
        except Fail as error:
            raise EventHandlingFailed(describe_error(error)) from error
        except Exception as error:
            log.exception("an event that was handed over failed")
            raise EventHandlingFailed(describe_error(error)) from error
        return RedeliveryResult(outcome=outcomes[delivery.event_id])

    def _parse(self, redelivery: RedeliverEvent) -> ReceivedEvent:
        try:
            event = parse_event(redelivery.type, redelivery.data)
        except ValidationError as error:
            raise InvalidRequest(errors=[FieldError(pointer="/data", detail=describe_error(error))]) from None
        except ValueError as error:
            raise InvalidRequest(errors=[FieldError(pointer="/type", detail=str(error))]) from None
        if type(event) not in self.handlers:
            detail = f"{self.service} does not hear {redelivery.type}"
            raise InvalidRequest(errors=[FieldError(pointer="/type", detail=detail)])
        context = trace.parse(redelivery.traceparent, request_id=redelivery.request_id or "")
        return ReceivedEvent(redelivery.id, event, context)
