"""Gives money back: claims refunds, asks gateways under the refund's id, books what they did."""

import asyncio
import logging
from dataclasses import dataclass

from infra.database.postgres import Database, Transaction
from infra.foundation import trace
from infra.foundation.failpoints import crash_point
from services.payment.domain import payments as domain
from services.payment.gateways import GatewayError, Gateways, RefundRefused
from services.payment.store import payments, refunds
from services.payment.store.refunds import Refund
from services.payment.workers.batch_worker import Pipeline
from services.payment.workers.completion import Outcomes

log = logging.getLogger("souk.payment")


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of asking: given back, refused for a reason, or nobody knows."""

    refund: Refund
    known: bool
    refused: str | None = None


class Refunder:
    def __init__(self, db: Database, gateways: Gateways, outcomes: Outcomes, *, patience: float, limit: int) -> None:
        self.db = db
        self.gateways = gateways
        self.outcomes = outcomes
        self.patience = patience
        self.lease = patience + 2
        self.pipeline = Pipeline("refunds", self.claim, self.perform, self.settle, away=db.away, limit=limit)

    async def claim(self, limit: int) -> list[Refund]:
        async with self.db.connection() as connection:
            claimed = await refunds.claim(connection, limit, lease=self.lease)
        if claimed:
            crash_point("payment.refund_claimed")
        return claimed

    async def perform(self, refund: Refund) -> Tried:
        """Asks the gateway, outside any transaction, under the refund's id."""
        with trace.within(trace.parse(refund.traceparent, request_id=refund.request_id)):
            try:
                gateway = self.gateways.named(refund.provider)
                with self.gateways.asking(gateway):
                    async with asyncio.timeout(self.patience):
                        await gateway.refund(refund.id, refund.payment_id, refund.money)
                crash_point("payment.refunded")
            except RefundRefused as refused:
                return Tried(refund, known=True, refused=str(refused))
            except (GatewayError, TimeoutError) as error:
                log.warning(
                    "a gateway did not tell of a refund: %s",
                    str(error) or type(error).__name__,
                    extra={"fields": {"refund_id": refund.id, "tries": refund.tries}},
                )
                return Tried(refund, known=False)
            return Tried(refund, known=True)

    async def settle(self, tried: list[Tried]) -> None:
        """Writes down, in one transaction, what became of as many refunds as there are; in one order everywhere."""
        async with self.db.transaction() as tx:
            for one in sorted(tried, key=lambda each: each.refund.payment_id):
                with trace.within(trace.parse(one.refund.traceparent, request_id=one.refund.request_id)):
                    await self._settle_one(tx, one)
        crash_point("payment.refund_settled")

    async def _settle_one(self, tx: Transaction, tried: Tried) -> None:
        refund = tried.refund
        if not tried.known:
            await refunds.put_off(tx.connection, refund.id, domain.delay(refund.tries))
            return
        payment = await payments.lock(tx.connection, refund.payment_id)
        assert payment is not None, "a refund belongs to a payment"
        if not await refunds.settle(tx.connection, refund.id, failure_code=tried.refused):
            return
        fields = {"refund_id": refund.id, "payment_id": payment.id, "refused": tried.refused}
        if tried.refused:
            log.error("a gateway refuses a refund", extra={"fields": fields})
            await refunds.release(tx.connection, refund)
        else:
            log.info("refunded", extra={"fields": fields})
            total, status = domain.refunded(payment, refund.money.amount)
            await refunds.book(tx.connection, refund, total, status)
            tx.say(domain.refunded_event(payment, refund.id, refund.money.amount))
        tx.afterwards(self.outcomes.telling(refund.id))
