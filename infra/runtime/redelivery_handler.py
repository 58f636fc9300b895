"""An event that the operator hands over once more, heard by the same path as one from its stream.

What cannot have its effect just now is refused with the reason; whoever has handed it over keeps it.
"""

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Tracer
from pydantic import ValidationError

from contracts.event import Event
from contracts.failure import Fail, FieldError, Invalid
from contracts.redelivery import EffectFailed, Heard, HeardTooSoon, HearEvent, Outcome
from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.messaging.consumer import Delivery, Inbox, NotYet, Reaction, react, reason_of, understood
from infra.messaging.rpc import Ask

log = logging.getLogger("souk.events")


class Hearing:
    """Answers `rpc.<service>.hear`."""

    def __init__(
        self,
        service: str,
        reactions: Mapping[type[Event], Reaction],
        inbox: Inbox,
        tracer: Tracer | None,
    ) -> None:
        self.service = service
        self.reactions = reactions
        self.inbox = inbox
        self.tracer = tracer

    async def hear(
        self, deps: Any, ask: Ask[HearEvent]
    ) -> Heard:  # each service's own, passed through to its reactions
        delivery = self._read(ask.body)

        async def effect(tx: Any, delivery: Delivery) -> Outcome | None:
            if isinstance(tx, Transaction):
                tx.does(ask)
            return await react(self.reactions, deps, self.tracer, tx, delivery)

        try:
            outcomes = await self.inbox.apply([delivery], effect)
        except NotYet as error:
            raise HeardTooSoon(str(error) or None) from error
        except (*self.inbox.away, *self.inbox.busy):
            raise
        except Fail as error:
            raise EffectFailed(reason_of(error)) from error
        except Exception as error:
            log.exception("an event that was handed over failed")
            raise EffectFailed(reason_of(error)) from error
        return Heard(outcome=outcomes[delivery.event_id])

    def _read(self, said: HearEvent) -> Delivery:
        try:
            event = understood(said.type, said.data)
        except ValidationError as error:
            raise Invalid(errors=[FieldError(pointer="/data", detail=reason_of(error))]) from None
        except ValueError as error:
            raise Invalid(errors=[FieldError(pointer="/type", detail=str(error))]) from None
        if type(event) not in self.reactions:
            detail = f"{self.service} does not hear {said.type}"
            raise Invalid(errors=[FieldError(pointer="/type", detail=detail)])
        context = trace.parse(said.traceparent, request_id=said.request_id or "")
        return Delivery(said.id, event, context)
