"""Refunds what is due: claims refunds, calls the gateways with the refunds' ids as keys, books the results."""

import asyncio
from dataclasses import dataclass

from infra.database.postgres import Transaction
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import retry_delay_seconds
from services.payment.domain.events import refunded_event
from services.payment.domain.refunds import RefundAttempt, total_refunded
from services.payment.gateways import GatewayError, RefundRefused
from services.payment.store import payments, refunds
from services.payment.workers.batch_worker import BatchWorker

log = get_logger("souk.payment")


@dataclass(frozen=True, slots=True)
class RefundResult:
    """The result of an attempt: refunded, refused with a code, or unknown (`is_known` is False)."""

    refund: RefundAttempt
    is_known: bool
    refusal_code: str | None = None


class RefundWorker:
    """The worker that refunds payments. A signal on `deps.refunds_due` wakes it."""

    def __init__(self, deps: PaymentDeps) -> None:
        self.deps = deps
        self.lease_seconds = deps.gateway_timeout_seconds + 2
        self.batch_worker = BatchWorker(
            "refunds",
            self.claim,
            self.perform,
            self.settle,
            unavailable_errors=deps.db.unavailable_errors,
            concurrency=deps.gateway_concurrency,
        )
        deps.refunds_due.connect(self.batch_worker.wake)

    async def claim(self, limit: int) -> list[RefundAttempt]:
        """Claims due refunds."""
        async with self.deps.db.connection() as connection:
            claimed = await refunds.claim(connection, limit, lease_seconds=self.lease_seconds)
        if claimed:
            failpoint("payment.refund_claimed")
        return claimed

    async def perform(self, refund: RefundAttempt) -> RefundResult:
        """Calls the gateway, outside any transaction, with the refund's id as idempotency key."""
        with trace.activate(trace.parse(refund.traceparent, request_id=refund.request_id)):
            try:
                gateway = self.deps.gateways.by_name(refund.provider)
                with self.deps.gateways.guarded_call(gateway):
                    async with asyncio.timeout(self.deps.gateway_timeout_seconds):
                        await gateway.refund(refund.id, refund.payment_id, refund.money)
                failpoint("payment.refunded")
            except RefundRefused as refused:
                return RefundResult(refund, is_known=True, refusal_code=str(refused))
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "refund outcome unknown: %s",
                    str(error) or type(error).__name__,
                    refund_id=refund.id,
                    tries=refund.tries,
                )
                return RefundResult(refund, is_known=False)
            return RefundResult(refund, is_known=True)

    async def settle(self, results: list[RefundResult]) -> None:
        """Stores the results in one transaction, ordered by payment, so that two processes cannot deadlock."""
        async with self.deps.db.transaction() as tx:
            for result in sorted(results, key=lambda result: result.refund.payment_id):
                with trace.activate(trace.parse(result.refund.traceparent, request_id=result.refund.request_id)):
                    await self._settle_one(tx, result)
        failpoint("payment.refund_settled")

    async def _settle_one(self, tx: Transaction, result: RefundResult) -> None:
        refund = result.refund
        if not result.is_known:
            delay = retry_delay_seconds(refund.tries)
            await refunds.postpone(tx.connection, refund.id, delay)
            tx.on_commit(lambda: self.batch_worker.wake_after(delay))
            return
        payment = await payments.lock(tx.connection, refund.payment_id)
        assert payment is not None, "a refund belongs to a payment"
        if not await refunds.settle(tx.connection, refund.id, failure_code=result.refusal_code):
            return
        fields = {"refund_id": refund.id, "payment_id": payment.id, "refused": result.refusal_code}
        if result.refusal_code:
            log.error("refund refused by the gateway", **fields)
            await refunds.release_reserved(tx.connection, refund)
        else:
            log.info("payment refunded", **fields)
            total, status = total_refunded(payment, refund.money.amount)
            await refunds.book(tx.connection, refund, total, status)
            tx.publish(refunded_event(payment, refund.id, refund.money.amount))
        tx.on_commit(self.deps.completions.notifier(refund.id))
