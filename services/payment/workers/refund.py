"""Gives money back: claims refunds, asks gateways under the refund's id, books what they did."""

import asyncio
import logging
from dataclasses import dataclass

from infra.database.postgres import Database, Transaction
from infra.foundation import trace
from infra.foundation.failpoints import failpoint
from services.payment.domain import payments as domain
from services.payment.gateways import GatewayError, GatewayRegistry, RefundRefused
from services.payment.store import payments, refunds
from services.payment.store.refunds import RefundAttempt
from services.payment.workers.batch_worker import BatchWorker
from services.payment.workers.completion import Completions

log = logging.getLogger("souk.payment")


@dataclass(frozen=True, slots=True)
class RefundResult:
    """What came of asking: given back, refused for a reason, or nobody knows."""

    refund: RefundAttempt
    is_known: bool
    refusal_code: str | None = None


class RefundWorker:
    def __init__(
        self,
        db: Database,
        gateways: GatewayRegistry,
        completions: Completions,
        *,
        timeout_seconds: float,
        concurrency: int,
    ) -> None:
        self.db = db
        self.gateways = gateways
        self.completions = completions
        self.timeout_seconds = timeout_seconds
        self.lease_seconds = timeout_seconds + 2
        self.worker = BatchWorker(
            "refunds",
            self.claim,
            self.perform,
            self.settle,
            unavailable_errors=db.unavailable_errors,
            concurrency=concurrency,
        )

    async def claim(self, limit: int) -> list[RefundAttempt]:
        async with self.db.connection() as connection:
            claimed = await refunds.claim(connection, limit, lease_seconds=self.lease_seconds)
        if claimed:
            failpoint("payment.refund_claimed")
        return claimed

    async def perform(self, refund: RefundAttempt) -> RefundResult:
        """Asks the gateway, outside any transaction, under the refund's id."""
        with trace.activate(trace.parse(refund.traceparent, request_id=refund.request_id)):
            try:
                gateway = self.gateways.by_name(refund.provider)
                with self.gateways.guarded_call(gateway):
                    async with asyncio.timeout(self.timeout_seconds):
                        await gateway.refund(refund.id, refund.payment_id, refund.money)
                failpoint("payment.refunded")
            except RefundRefused as refused:
                return RefundResult(refund, is_known=True, refusal_code=str(refused))
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "a gateway did not tell of a refund: %s",
                    str(error) or type(error).__name__,
                    extra={"fields": {"refund_id": refund.id, "tries": refund.tries}},
                )
                return RefundResult(refund, is_known=False)
            return RefundResult(refund, is_known=True)

    async def settle(self, results: list[RefundResult]) -> None:
        """Writes down, in one transaction, what became of as many refunds as there are; in one order everywhere."""
        async with self.db.transaction() as tx:
            for one in sorted(results, key=lambda each: each.refund.payment_id):
                with trace.activate(trace.parse(one.refund.traceparent, request_id=one.refund.request_id)):
                    await self._settle_one(tx, one)
        failpoint("payment.refund_settled")

    async def _settle_one(self, tx: Transaction, tried: RefundResult) -> None:
        refund = tried.refund
        if not tried.is_known:
            await refunds.postpone(tx.connection, refund.id, domain.retry_delay_seconds(refund.tries))
            return
        payment = await payments.lock(tx.connection, refund.payment_id)
        assert payment is not None, "a refund belongs to a payment"
        if not await refunds.settle(tx.connection, refund.id, failure_code=tried.refusal_code):
            return
        fields = {"refund_id": refund.id, "payment_id": payment.id, "refused": tried.refusal_code}
        if tried.refusal_code:
            log.error("a gateway refuses a refund", extra={"fields": fields})
            await refunds.release_reserved(tx.connection, refund)
        else:
            log.info("refunded", extra={"fields": fields})
            total, status = domain.total_refunded(payment, refund.money.amount)
            await refunds.book(tx.connection, refund, total, status)
            tx.publish(domain.refunded_event(payment, refund.id, refund.money.amount))
        tx.on_commit(self.completions.notifier(refund.id))
