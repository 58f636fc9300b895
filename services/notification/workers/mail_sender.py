"""The sender: takes up deliveries that are due, and sends them through the mail server.

A batch is leased in one statement, sent outside any transaction, and what became of it is written down in one
statement. A process that dies leaves its lease to run out, and another sends the mails: one that the server had taken
already goes out a second time then, under the same Message-ID. None is lost. A process that is asked to stop ends the
mail it is at, begins no other, and writes down what it did.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from email.headerregistry import Address

from prometheus_client import Counter

from contracts.failure import Fail
from contracts.notification import DeliveryStatus
from infra.database.postgres import Database
from infra.foundation import trace
from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from services.notification.domain.deliveries import (
    DeliveryOutcome,
    MailDelivery,
    rejected,
    requeued,
    retry_later,
    sent,
    suppressed,
)
from services.notification.mail.contacts import RecipientLookup
from services.notification.mail.message import build_message
from services.notification.mail.smtp import MailDeferred, MailRejected, MailServerUnavailable, SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries as store

BATCH_SIZE = 50
LEASE_SECONDS = 120.0
BATCH_SECONDS = 40.0
"""After so long no further mail of a batch is begun: even with one that hangs, it ends before the lease does."""
POLL_SECONDS = 0.25
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0

log = logging.getLogger("souk.mail")


class MailSender:
    """Sends in the background, woken by a new delivery; on each of `lines`, one mail after the other."""

    name = "mail sender"

    def __init__(
        self,
        db: Database,
        recipients: RecipientLookup,
        templates: MailTemplates,
        connections: Sequence[SmtpConnection],
        *,
        from_address: Address,
        rate_limit: TokenBucket,
        mail_counter: Counter,
    ) -> None:
        self.db = db
        self.recipients = recipients
        self.templates = templates
        self.connections = connections
        self.from_address = from_address
        self.rate_limit = rate_limit
        self.mail_counter = mail_counter
        self.worker = PeriodicTask(self.name, self.send_batch, interval_seconds=POLL_SECONDS)
        self._pause = 0.0
        self._paused_until = 0.0
        self._stopping = False

    def wake(self) -> None:
        self.worker.wake()

    async def run(self) -> None:
        try:
            await self.worker.run()
        finally:
            for line in self.connections:
                await line.close()

    async def send_batch(self) -> bool:
        """One batch, as far as the pace and the mail server allow; whether there may be more."""
        if time.monotonic() < self._paused_until:
            return False
        allowed = self.rate_limit.take(BATCH_SIZE)
        if not allowed:
            return False
        batch = asyncio.create_task(self._batch(allowed))
        try:
            return await asyncio.shield(batch) == allowed
        except asyncio.CancelledError:
            self._stopping = True
            await batch
            raise

    async def _batch(self, allowed: int) -> int:
        async with self.db.connection() as connection:
            batch = await store.claim(connection, limit=allowed, lease_seconds=LEASE_SECONDS)
        self.rate_limit.give_back(allowed - len(batch))
        if batch:
            failpoint("notification.claimed")
            await self._deliver(batch)
        return len(batch)

    async def _deliver(self, batch: Sequence[MailDelivery]) -> None:
        waiting, done = deque(batch), list[tuple[MailDelivery, DeliveryOutcome]]()
        ends = time.monotonic() + BATCH_SECONDS
        await asyncio.gather(*(self._send_on(line, waiting, done, ends) for line in self.connections))
        done += [(delivery, requeued(delivery)) for delivery in waiting]
        async with self.db.connection() as connection:
            await store.record_outcomes(connection, done)
        failpoint("notification.concluded")

    async def _send_on(
        self,
        line: SmtpConnection,
        waiting: deque[MailDelivery],
        done: list[tuple[MailDelivery, DeliveryOutcome]],
        ends: float,
    ) -> None:
        try:
            while waiting and not self._stopping and time.monotonic() < ends:
                await line.ensure_connected()
                if waiting:  # another line may have taken the last one meanwhile
                    delivery = waiting.popleft()
                    done.append((delivery, await self._attempt(line, delivery)))
            self._pause = 0.0
        except MailServerUnavailable as away:
            self._rest(away)

    def _rest(self, away: MailServerUnavailable) -> None:
        """Leaves the server alone for a while, longer each time; the mails stay due."""
        self._pause = min(max(self._pause * 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        self._paused_until = time.monotonic() + self._pause
        log.warning("no mail can be sent: %s", away, extra={"fields": {"pause": self._pause}})

    async def _attempt(self, line: SmtpConnection, delivery: MailDelivery) -> DeliveryOutcome:
        """What became of it, in the trace of the order; one mail's bad luck is never another's."""
        with trace.activate(trace.parse(delivery.traceparent, request_id=delivery.request_id)):
            try:
                outcome = await self._send(line, delivery)
            except MailRejected as error:
                outcome = rejected(delivery, str(error))
            except MailDeferred as error:
                outcome = retry_later(delivery, str(error))
            except Fail as fail:
                outcome = retry_later(delivery, f"where the customer is reached is not known yet: {fail.code}")
            except Exception as error:
                log.exception("a mail could not be written")
                outcome = retry_later(delivery, type(error).__name__)
            self._note(delivery, outcome)
            return outcome

    async def _send(self, line: SmtpConnection, delivery: MailDelivery) -> DeliveryOutcome:
        to = await self.recipients.find(delivery)
        if to is None:
            return suppressed(delivery)
        letter = self.templates.render(delivery, to)
        mail = build_message(delivery, letter, to, self.from_address, now())
        await line.send(mail, self.from_address.addr_spec, to.email)
        failpoint("notification.accepted")
        return sent(delivery)

    def _note(self, delivery: MailDelivery, outcome: DeliveryOutcome) -> None:
        self.mail_counter.labels(delivery.kind, outcome.status).inc()
        about: dict[str, object] = {"delivery_id": delivery.id, "order_id": delivery.order_id, "kind": delivery.kind}
        if outcome.status is DeliveryStatus.SENT:
            log.info("mail sent", extra={"fields": about})
        else:
            about |= {"status": outcome.status, "reason": outcome.reason, "attempts": outcome.attempts}
            log.warning("mail not sent", extra={"fields": about})
