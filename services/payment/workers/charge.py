"""Charges what is due: claims attempts, asks orders how, asks gateways to charge, settles what they say."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from contracts import order
from contracts.failure import Fail
from contracts.order import OrderStatus, Payable, PayablesOf
from infra.database.postgres import Database, Transaction
from infra.foundation import trace
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import new_id
from infra.messaging.rpc import Asker
from services.payment.domain import payments as domain
from services.payment.domain.payments import (
    METHOD_MISSING,
    METHOD_UNKNOWN,
    ORDER_CANCELLED,
    Attempt,
    Outcome,
    State,
    Step,
)
from services.payment.gateways import Gateway, GatewayAway, GatewayError, Gateways
from services.payment.store import attempts, payments, refunds
from services.payment.workers.batch_worker import Pipeline
from services.payment.workers.completion import Outcomes
from services.payment.workers.refund import Refunder

CALLS = 3
"""How often a gateway that fails at once is asked within one attempt."""
ORDER_AWAY_DELAY = 0.5

log = logging.getLogger("souk.payment")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of an attempt; without an outcome nobody knows, and it is tried again."""

    attempt: Attempt
    outcome: Outcome | None
    asked: bool = True
    """False when its gateway is left alone: the attempt goes back as it was."""


class Charger:
    """`patience` is how many seconds a gateway may take to answer, `deadline` how many a payment may be under way."""

    def __init__(
        self,
        db: Database,
        asker: Asker,
        gateways: Gateways,
        refunder: Refunder,
        outcomes: Outcomes,
        *,
        patience: float,
        deadline: float,
        limit: int,
    ) -> None:
        self.db = db
        self.asker = asker
        self.gateways = gateways
        self.refunder = refunder
        self.outcomes = outcomes
        self.patience = patience
        self.deadline = deadline
        self.lease = CALLS * patience + asker.timeout + 2
        self.longest = max(self.lease, domain.LONGEST_DELAY)
        self.pipeline = Pipeline("charges", self.claim, self.perform, self.settle, away=db.away, limit=limit)

    async def claim(self, limit: int) -> list[Attempt]:
        """Attempts that are due, each with its method, or marked as one that its order does not want any more."""
        async with self.db.connection() as connection:
            claimed = await attempts.claim(connection, limit, lease=self.lease, deadline=self.deadline)
        if claimed:
            crash_point("payment.claimed")
        open_ = {attempt.order_id for attempt in claimed if domain.needs_method(attempt)}
        if not open_:
            return claimed
        try:
            reply = await self.asker.ask(order.PAYABLES, PayablesOf(order_ids=list(open_)))
        except Fail as fail:
            log.warning("orders cannot be asked for their payment methods: %s", fail.code)
            return await self._without_orders(claimed)
        payables = {payable.order_id: payable for payable in reply.items}
        return [
            _informed(attempt, payables.get(attempt.order_id)) if attempt.order_id in open_ else attempt
            for attempt in claimed
        ]

    async def _without_orders(self, claimed: Sequence[Attempt]) -> list[Attempt]:
        waiting = [attempt.payment_id for attempt in claimed if domain.needs_method(attempt)]
        async with self.db.connection() as connection:
            await attempts.give_back(connection, waiting, ORDER_AWAY_DELAY)
        crash_point("payment.left_for_later")
        return [attempt for attempt in claimed if not domain.needs_method(attempt)]

    async def perform(self, attempt: Attempt) -> Tried:
        """Asks the gateway, outside any transaction, under the payment's id."""
        with trace.within(trace.parse(attempt.traceparent, request_id=attempt.request_id)):
            try:
                return Tried(attempt, await self._asked(attempt))
            except GatewayAway:
                return Tried(attempt, None, asked=False)
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "a gateway did not tell: %s",
                    str(error) or type(error).__name__,
                    extra={"fields": {"payment_id": attempt.payment_id, "tries": attempt.tries}},
                )
                return Tried(attempt, None)

    async def _asked(self, attempt: Attempt) -> Outcome:
        step = domain.step_to_take(attempt)
        if step is None:
            return Outcome(State.VOIDED, ORDER_CANCELLED if attempt.cancelled else None)
        if step is Step.CHARGE and attempt.method is None:
            if attempt.tries == 1:
                return Outcome(State.DECLINED, METHOD_MISSING)
            step = Step.VOID  # the method is lost, and the gateway may have heard of it
        try:
            return await self._call(step, attempt)
        except GatewayAway:
            raise
        except GatewayError:
            return await self._call_again(step, attempt)

    async def _call(self, step: Step, attempt: Attempt) -> Outcome:
        gateway = self._gateway(step, attempt)
        if gateway is None:
            return Outcome(State.DECLINED, METHOD_UNKNOWN)
        with self.gateways.asking(gateway):
            async with asyncio.timeout(self.patience):
                outcome = await self._take(gateway, step, attempt)
        _crash_points(step)
        return outcome

    async def _call_again(self, step: Step, attempt: Attempt) -> Outcome:
        """A gateway that failed at once may have recovered at once. One that is late is left for later."""
        async for call in AsyncRetrying(
            retry=retry_if_exception_type(GatewayError),
            stop=stop_after_attempt(CALLS - 1),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        ):
            with call:
                try:
                    return await self._call(step, attempt)
                except GatewayAway as away:  # by now it may have heard of the attempt, which counts
                    raise TimeoutError(str(away)) from away
        raise GatewayError

    def _gateway(self, step: Step, attempt: Attempt) -> Gateway | None:
        if step is Step.CHARGE:
            return self.gateways.accepting(attempt.method or "")
        return self.gateways.named(attempt.provider)

    def _take(self, gateway: Gateway, step: Step, attempt: Attempt) -> Awaitable[Outcome]:
        key, money = attempt.payment_id, attempt.money
        if step is Step.CHARGE:
            return gateway.charge(key, money, attempt.method or "")
        return gateway.confirm(key) if step is Step.CONFIRM else gateway.void(key, money)

    async def settle(self, tried: list[Tried]) -> None:
        """Writes down, in one transaction, what became of as many attempts as there are."""
        outcomes = {one.attempt.payment_id: one.outcome for one in tried if one.outcome is not None}
        untold = [one.attempt for one in tried if one.outcome is None and one.asked]
        unknown = [(attempt.payment_id, domain.delay(attempt.tries)) for attempt in untold]
        not_asked = [one.attempt.payment_id for one in tried if not one.asked]
        async with self.db.transaction() as tx:
            if not_asked:
                await attempts.give_back(tx.connection, not_asked, self.gateways.pause)
            if unknown:
                await attempts.put_off(tx.connection, unknown)
            if outcomes:
                steps = {one.attempt.payment_id: one.attempt.step for one in tried}
                await self._settle_known(tx, outcomes, steps)
        if outcomes:
            crash_point("payment.settled")
        else:
            crash_point("payment.put_off")

    async def overrule(self, tx: Transaction, payment: domain.Payment, outcome: Outcome) -> None:
        """Settles one payment, whatever it is now. The caller has locked it and knows how it ended."""
        settlement = domain.settle(payment, outcome)
        if settlement.again is None:
            await payments.settle(tx.connection, [settlement])
        await self._follow(tx, payment, settlement)

    async def _settle_known(self, tx: Transaction, outcomes: dict[UUID, Outcome], steps: dict[UUID, Step]) -> None:
        under_way = await payments.lock_processing(tx.connection, list(outcomes))
        if acting := {one.id: steps[one.id] for one in under_way if outcomes[one.id].state is State.ACTION_REQUIRED}:
            # Whoever slept through its lease tells of a second step that the customer may have taken meanwhile.
            over = await attempts.gone_on(tx.connection, acting)
            under_way = [payment for payment in under_way if payment.id not in over]
        settled = [(payment, domain.settle(payment, outcomes[payment.id])) for payment in under_way]
        await payments.settle(tx.connection, [one for _, one in settled if one.again is None])
        for payment, settlement in settled:
            with trace.within(trace.parse(payment.traceparent, request_id=payment.request_id)):
                await self._follow(tx, payment, settlement)

    async def _follow(self, tx: Transaction, payment: domain.Payment, settlement: domain.Settlement) -> None:
        """What is said of a settled payment, and what has to be done next."""
        if settlement.again is not None:
            await payments.go_on(tx.connection, payment.id, settlement.again)
            tx.afterwards(self.pipeline.wake)
            return
        if event := domain.settled_event(payment, settlement):
            tx.say(event)
        if settlement.refund:
            await refunds.add(tx.connection, new_id(), payment.id, settlement.refund, domain.ORDER_CANCELLED)
            tx.afterwards(self.refunder.pipeline.wake)
        tx.afterwards(self.outcomes.telling(payment.id))
        fields = {"payment_id": payment.id, "order_id": payment.order_id, "status": settlement.status}
        log.info("settled", extra={"fields": fields})


def _crash_points(answered: Step) -> None:
    """Between what a gateway has done and our knowing it."""
    if answered is Step.CHARGE:
        crash_point("payment.charged")
    elif answered is Step.CONFIRM:
        crash_point("payment.confirmed")
    else:
        crash_point("payment.voided")


def _informed(attempt: Attempt, payable: Payable | None) -> Attempt:
    """The attempt with what its order says."""
    if payable is None or payable.status is not OrderStatus.PENDING:
        return replace(attempt, cancelled=True)
    return replace(attempt, method=payable.payment_method)
