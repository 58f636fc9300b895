"""Charges what is due: claims attempts, asks order for payment methods, calls the gateways, settles their answers."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from contracts import order
from contracts.failure import Fail
from contracts.order import OrderStatus, Payable, PayablesRequest
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import (
    MAX_DELAY_SECONDS,
    METHOD_MISSING,
    METHOD_UNKNOWN,
    ORDER_CANCELLED,
    ChargeAttempt,
    ChargeOutcome,
    ChargeState,
    ChargeStep,
    needs_method,
    next_step,
    outcome_without_gateway,
    retry_delay_seconds,
)
from services.payment.gateways import GatewayError, GatewayUnavailable, PaymentGateway
from services.payment.store import attempts
from services.payment.workers.batch_worker import BatchWorker
from services.payment.workers.charge_outcomes import settle_payments

MAX_CALLS = 3
"""How often a gateway that fails at once is called within one attempt."""
ORDER_UNAVAILABLE_DELAY_SECONDS = 0.5

log = get_logger("souk.payment")


def lease_seconds(deps: PaymentDeps) -> float:
    """Returns how long a claimed attempt belongs to one process: longer than any attempt can take."""
    return MAX_CALLS * deps.gateway_timeout_seconds + deps.rpc.timeout_seconds + 2


def max_delay_seconds(deps: PaymentDeps) -> float:
    """Returns the longest time after which an attempt is due again in any case."""
    return max(lease_seconds(deps), MAX_DELAY_SECONDS)


@dataclass(frozen=True, slots=True)
class ChargeResult:
    """The result of an attempt. Without an outcome the gateway's answer is unknown, and it is tried again."""

    attempt: ChargeAttempt
    outcome: ChargeOutcome | None
    gateway_called: bool = True
    """False when the gateway's circuit breaker was open: the attempt is returned unchanged."""


class ChargeWorker:
    """The worker that charges payments. A signal on `deps.charges_due` wakes it."""

    def __init__(self, deps: PaymentDeps) -> None:
        self.deps = deps
        self.batch_worker = BatchWorker(
            "charges",
            self.claim,
            self.perform,
            self.settle,
            unavailable_errors=deps.db.unavailable_errors,
            concurrency=deps.gateway_concurrency,
        )
        deps.charges_due.connect(self.batch_worker.wake)

    async def claim(self, limit: int) -> list[ChargeAttempt]:
        """Claims due attempts, each with its payment method, or marked as cancelled when the order has ended."""
        async with self.deps.db.connection() as connection:
            claimed = await attempts.claim(
                connection,
                limit,
                lease_seconds=lease_seconds(self.deps),
                deadline_seconds=self.deps.charge_deadline_seconds,
            )
        if claimed:
            failpoint("payment.claimed")
        order_ids = {attempt.order_id for attempt in claimed if needs_method(attempt)}
        if not order_ids:
            return claimed
        try:
            reply = await self.deps.rpc.request(order.PAYABLES, PayablesRequest(order_ids=list(order_ids)))
        except Fail as fail:
            log.warning("order did not return payment methods: %s", fail.code)
            return await self._without_orders(claimed)
        payables = {payable.order_id: payable for payable in reply.items}
        return [
            _with_payable(attempt, payables.get(attempt.order_id)) if attempt.order_id in order_ids else attempt
            for attempt in claimed
        ]

    async def _without_orders(self, claimed: Sequence[ChargeAttempt]) -> list[ChargeAttempt]:
        """Returns the attempts that need no method, and makes the others due again a moment later."""
        waiting = [attempt.payment_id for attempt in claimed if needs_method(attempt)]
        async with self.deps.db.connection() as connection:
            await attempts.return_unused(connection, waiting, ORDER_UNAVAILABLE_DELAY_SECONDS)
        self.batch_worker.wake_after(ORDER_UNAVAILABLE_DELAY_SECONDS)
        failpoint("payment.returned_unused")
        return [attempt for attempt in claimed if not needs_method(attempt)]

    async def perform(self, attempt: ChargeAttempt) -> ChargeResult:
        """Calls the gateway, outside any transaction, with the payment's id as idempotency key."""
        with trace.activate(trace.parse(attempt.traceparent, request_id=attempt.request_id)):
            try:
                return ChargeResult(attempt, await self._outcome_of(attempt))
            except GatewayUnavailable:
                return ChargeResult(attempt, None, gateway_called=False)
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "charge outcome unknown: %s",
                    str(error) or type(error).__name__,
                    payment_id=attempt.payment_id,
                    tries=attempt.tries,
                )
                return ChargeResult(attempt, None)

    async def _outcome_of(self, attempt: ChargeAttempt) -> ChargeOutcome:
        if decided := outcome_without_gateway(attempt):
            return decided
        step = next_step(attempt)
        if step is None:
            return ChargeOutcome(ChargeState.VOIDED, ORDER_CANCELLED if attempt.cancelled else None)
        if step is ChargeStep.CHARGE and attempt.method is None:
            if attempt.tries == 1:
                return ChargeOutcome(ChargeState.DECLINED, METHOD_MISSING)
            step = ChargeStep.VOID  # the method is lost, and the gateway may have received the charge
        try:
            return await self._call(step, attempt)
        except GatewayUnavailable:
            raise
        except GatewayError:
            return await self._call_again(step, attempt)

    async def _call(self, step: ChargeStep, attempt: ChargeAttempt) -> ChargeOutcome:
        gateway = self._gateway_for(step, attempt)
        if gateway is None:
            return ChargeOutcome(ChargeState.DECLINED, METHOD_UNKNOWN)
        with self.deps.gateways.guarded_call(gateway):
            async with asyncio.timeout(self.deps.gateway_timeout_seconds):
                outcome = await _request(gateway, step, attempt)
        _failpoint_after(step)
        return outcome

    async def _call_again(self, step: ChargeStep, attempt: ChargeAttempt) -> ChargeOutcome:
        """Retries at once, since a gateway that failed at once may recover at once. A timeout is retried later."""
        async for call in AsyncRetrying(
            retry=retry_if_exception_type(GatewayError),
            stop=stop_after_attempt(MAX_CALLS - 1),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        ):
            with call:
                try:
                    return await self._call(step, attempt)
                except GatewayUnavailable as error:  # the first call may have reached it, so this try counts
                    raise TimeoutError(str(error)) from error
        raise GatewayError

    def _gateway_for(self, step: ChargeStep, attempt: ChargeAttempt) -> PaymentGateway | None:
        if step is ChargeStep.CHARGE:
            return self.deps.gateways.for_method(attempt.method or "")
        return self.deps.gateways.by_name(attempt.provider)

    async def settle(self, results: list[ChargeResult]) -> None:
        """Stores the results in one transaction: settles known outcomes, postpones unknown ones, returns the rest."""
        outcomes = {result.attempt.payment_id: result.outcome for result in results if result.outcome is not None}
        unknown = [result.attempt for result in results if result.outcome is None and result.gateway_called]
        delays = [(attempt.payment_id, retry_delay_seconds(attempt.tries)) for attempt in unknown]
        not_called = [result.attempt.payment_id for result in results if not result.gateway_called]
        async with self.deps.db.transaction() as tx:
            if not_called:
                await attempts.return_unused(tx.connection, not_called, self.deps.gateways.pause_seconds)
            if delays:
                await attempts.postpone(tx.connection, delays)
            if outcomes:
                steps = {result.attempt.payment_id: result.attempt.step for result in results}
                await settle_payments(self.deps, tx, outcomes, steps)
        for _payment_id, delay in delays:
            self.batch_worker.wake_after(delay)
        if outcomes:
            failpoint("payment.settled")
        else:
            failpoint("payment.postponed")


def _request(gateway: PaymentGateway, step: ChargeStep, attempt: ChargeAttempt) -> Awaitable[ChargeOutcome]:
    key, money = attempt.payment_id, attempt.money
    if step is ChargeStep.CHARGE:
        return gateway.charge(key, money, attempt.method or "")
    return gateway.confirm(key) if step is ChargeStep.CONFIRM else gateway.void(key, money)


def _failpoint_after(step: ChargeStep) -> None:
    """Fails between the gateway's effect and this process learning of it."""
    if step is ChargeStep.CHARGE:
        failpoint("payment.charged")
    elif step is ChargeStep.CONFIRM:
        failpoint("payment.confirmed")
    else:
        failpoint("payment.voided")


def _with_payable(attempt: ChargeAttempt, payable: Payable | None) -> ChargeAttempt:
    """The attempt with its order's payment method, or marked as cancelled."""
    if payable is None or payable.status is not OrderStatus.PENDING:
        return replace(attempt, cancelled=True)
    return replace(attempt, method=payable.payment_method)
