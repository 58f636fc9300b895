"""Charges what is due: claims attempts, asks orders how, asks gateways to charge, settles what they say."""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from contracts import order
from contracts.failure import Fail
from contracts.order import OrderStatus, Payable, PayablesRequest
from infra.database.postgres import Database, Transaction
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id
from infra.messaging.rpc import RpcClient
from services.payment.domain import payments as domain
from services.payment.domain.payments import (
    METHOD_MISSING,
    METHOD_UNKNOWN,
    ORDER_CANCELLED,
    ChargeAttempt,
    ChargeOutcome,
    ChargeState,
    ChargeStep,
)
from services.payment.gateways import GatewayError, GatewayRegistry, GatewayUnavailable, PaymentGateway
from services.payment.store import attempts, payments, refunds
from services.payment.workers.batch_worker import BatchWorker
from services.payment.workers.completion import Completions
from services.payment.workers.refund import RefundWorker

MAX_CALLS = 3
"""How often a gateway that fails at once is asked within one attempt."""
ORDER_UNAVAILABLE_DELAY_SECONDS = 0.5

log = logging.getLogger("souk.payment")


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """What came of an attempt; without an outcome nobody knows, and it is tried again."""

    attempt: ChargeAttempt
    outcome: ChargeOutcome | None
    gateway_called: bool = True
    """False when its gateway is left alone: the attempt goes back as it was."""


class ChargeWorker:
    """`patience` is how many seconds a gateway may take to answer, `deadline` how many a payment may be under way."""

    def __init__(
        self,
        db: Database,
        rpc: RpcClient,
        gateways: GatewayRegistry,
        refund_worker: RefundWorker,
        completions: Completions,
        *,
        timeout_seconds: float,
        deadline_seconds: float,
        concurrency: int,
    ) -> None:
        self.db = db
        self.rpc = rpc
        self.gateways = gateways
        self.refund_worker = refund_worker
        self.completions = completions
        self.timeout_seconds = timeout_seconds
        self.deadline_seconds = deadline_seconds
        self.lease_seconds = MAX_CALLS * timeout_seconds + rpc.timeout_seconds + 2
        self.max_delay_seconds = max(self.lease_seconds, domain.MAX_DELAY_SECONDS)
        self.worker = BatchWorker(
            "charges",
            self.claim,
            self.perform,
            self.settle,
            unavailable_errors=db.unavailable_errors,
            concurrency=concurrency,
        )

    async def claim(self, limit: int) -> list[ChargeAttempt]:
        """Attempts that are due, each with its method, or marked as one that its order does not want any more."""
        async with self.db.connection() as connection:
            claimed = await attempts.claim(
                connection, limit, lease_seconds=self.lease_seconds, deadline_seconds=self.deadline_seconds
            )
        if claimed:
            failpoint("payment.claimed")
        open_ = {attempt.order_id for attempt in claimed if domain.needs_method(attempt)}
        if not open_:
            return claimed
        try:
            reply = await self.rpc.request(order.PAYABLES, PayablesRequest(order_ids=list(open_)))
        except Fail as fail:
            log.warning("orders cannot be asked for their payment methods: %s", fail.code)
            return await self._without_orders(claimed)
        payables = {payable.order_id: payable for payable in reply.items}
        return [
            _informed(attempt, payables.get(attempt.order_id)) if attempt.order_id in open_ else attempt
            for attempt in claimed
        ]

    async def _without_orders(self, claimed: Sequence[ChargeAttempt]) -> list[ChargeAttempt]:
        waiting = [attempt.payment_id for attempt in claimed if domain.needs_method(attempt)]
        async with self.db.connection() as connection:
            await attempts.return_unused(connection, waiting, ORDER_UNAVAILABLE_DELAY_SECONDS)
        failpoint("payment.left_for_later")
        return [attempt for attempt in claimed if not domain.needs_method(attempt)]

    async def perform(self, attempt: ChargeAttempt) -> ChargeResult:
        """Asks the gateway, outside any transaction, under the payment's id."""
        with trace.activate(trace.parse(attempt.traceparent, request_id=attempt.request_id)):
            try:
                return ChargeResult(attempt, await self._asked(attempt))
            except GatewayUnavailable:
                return ChargeResult(attempt, None, gateway_called=False)
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "a gateway did not tell: %s",
                    str(error) or type(error).__name__,
                    extra={"fields": {"payment_id": attempt.payment_id, "tries": attempt.tries}},
                )
                return ChargeResult(attempt, None)

    async def _asked(self, attempt: ChargeAttempt) -> ChargeOutcome:
        step = domain.next_step(attempt)
        if step is None:
            return ChargeOutcome(ChargeState.VOIDED, ORDER_CANCELLED if attempt.cancelled else None)
        if step is ChargeStep.CHARGE and attempt.method is None:
            if attempt.tries == 1:
                return ChargeOutcome(ChargeState.DECLINED, METHOD_MISSING)
            step = ChargeStep.VOID  # the method is lost, and the gateway may have heard of it
        try:
            return await self._call(step, attempt)
        except GatewayUnavailable:
            raise
        except GatewayError:
            return await self._call_again(step, attempt)

    async def _call(self, step: ChargeStep, attempt: ChargeAttempt) -> ChargeOutcome:
        gateway = self._gateway(step, attempt)
        if gateway is None:
            return ChargeOutcome(ChargeState.DECLINED, METHOD_UNKNOWN)
        with self.gateways.guarded_call(gateway):
            async with asyncio.timeout(self.timeout_seconds):
                outcome = await self._take(gateway, step, attempt)
        _crash_points(step)
        return outcome

    async def _call_again(self, step: ChargeStep, attempt: ChargeAttempt) -> ChargeOutcome:
        """A gateway that failed at once may have recovered at once. One that is late is left for later."""
        async for call in AsyncRetrying(
            retry=retry_if_exception_type(GatewayError),
            stop=stop_after_attempt(MAX_CALLS - 1),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        ):
            with call:
                try:
                    return await self._call(step, attempt)
                except GatewayUnavailable as away:  # by now it may have heard of the attempt, which counts
                    raise TimeoutError(str(away)) from away
        raise GatewayError

    def _gateway(self, step: ChargeStep, attempt: ChargeAttempt) -> PaymentGateway | None:
        if step is ChargeStep.CHARGE:
            return self.gateways.for_method(attempt.method or "")
        return self.gateways.by_name(attempt.provider)

    def _take(self, gateway: PaymentGateway, step: ChargeStep, attempt: ChargeAttempt) -> Awaitable[ChargeOutcome]:
        key, money = attempt.payment_id, attempt.money
        if step is ChargeStep.CHARGE:
            return gateway.charge(key, money, attempt.method or "")
        return gateway.confirm(key) if step is ChargeStep.CONFIRM else gateway.void(key, money)

    async def settle(self, results: list[ChargeResult]) -> None:
        """Writes down, in one transaction, what became of as many attempts as there are."""
        outcomes = {one.attempt.payment_id: one.outcome for one in results if one.outcome is not None}
        untold = [one.attempt for one in results if one.outcome is None and one.gateway_called]
        unknown = [(attempt.payment_id, domain.retry_delay_seconds(attempt.tries)) for attempt in untold]
        not_asked = [one.attempt.payment_id for one in results if not one.gateway_called]
        async with self.db.transaction() as tx:
            if not_asked:
                await attempts.return_unused(tx.connection, not_asked, self.gateways.pause_seconds)
            if unknown:
                await attempts.postpone(tx.connection, unknown)
            if outcomes:
                steps = {one.attempt.payment_id: one.attempt.step for one in results}
                await self._settle_known(tx, outcomes, steps)
        if outcomes:
            failpoint("payment.settled")
        else:
            failpoint("payment.put_off")

    async def settle_from_gateway(self, tx: Transaction, payment: domain.PaymentRecord, outcome: ChargeOutcome) -> None:
        """Settles one payment, whatever it is now. The caller has locked it and knows how it ended."""
        settlement = domain.settle(payment, outcome)
        if settlement.follow_up is None:
            await payments.settle(tx.connection, [settlement])
        await self._follow(tx, payment, settlement)

    async def _settle_known(
        self, tx: Transaction, outcomes: dict[UUID, ChargeOutcome], steps: dict[UUID, ChargeStep]
    ) -> None:
        under_way = await payments.lock_processing(tx.connection, list(outcomes))
        if acting := {
            one.id: steps[one.id] for one in under_way if outcomes[one.id].state is ChargeState.ACTION_REQUIRED
        }:
            # Whoever slept through its lease tells of a second step that the customer may have taken meanwhile.
            over = await attempts.advanced(tx.connection, acting)
            under_way = [payment for payment in under_way if payment.id not in over]
        settled = [(payment, domain.settle(payment, outcomes[payment.id])) for payment in under_way]
        await payments.settle(tx.connection, [one for _, one in settled if one.follow_up is None])
        for payment, settlement in settled:
            with trace.activate(trace.parse(payment.traceparent, request_id=payment.request_id)):
                await self._follow(tx, payment, settlement)

    async def _follow(self, tx: Transaction, payment: domain.PaymentRecord, settlement: domain.Settlement) -> None:
        """What is said of a settled payment, and what has to be done next."""
        if settlement.follow_up is not None:
            await payments.schedule_step(tx.connection, payment.id, settlement.follow_up)
            tx.on_commit(self.worker.wake)
            return
        if event := domain.settlement_event(payment, settlement):
            tx.publish(event)
        if settlement.refund:
            await refunds.add(tx.connection, new_id(), payment.id, settlement.refund, domain.ORDER_CANCELLED)
            tx.on_commit(self.refund_worker.worker.wake)
        tx.on_commit(self.completions.notifier(payment.id))
        fields = {"payment_id": payment.id, "order_id": payment.order_id, "status": settlement.status}
        log.info("settled", extra={"fields": fields})


def _crash_points(answered: ChargeStep) -> None:
    """Between what a gateway has done and our knowing it."""
    if answered is ChargeStep.CHARGE:
        failpoint("payment.charged")
    elif answered is ChargeStep.CONFIRM:
        failpoint("payment.confirmed")
    else:
        failpoint("payment.voided")


def _informed(attempt: ChargeAttempt, payable: Payable | None) -> ChargeAttempt:
    """The attempt with what its order says."""
    if payable is None or payable.status is not OrderStatus.PENDING:
        return replace(attempt, cancelled=True)
    return replace(attempt, method=payable.payment_method)
