"""Sends due deliveries through the mail server.

A batch is leased in one statement, sent outside any transaction, and its outcomes are recorded in one statement. When a
process dies, its lease runs out and another process sends the mails. One that the server had accepted already then goes
out twice, with the same Message-ID; none is lost. A process that is asked to stop finishes the current mail, starts no
other, and records the outcomes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from email.headerregistry import Address

from opentelemetry.trace import SpanKind
from prometheus_client import Counter

from contracts.failure import Fail
from contracts.notification import DeliveryStatus
from infra.database.postgres import Database
from infra.foundation import trace
from infra.foundation.background import PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.foundation.telemetry import get_logger
from services.notification.domain.deliveries import (
    DeliveryOutcome,
    MailDelivery,
    rejected,
    requeued,
    retry_later,
    sent,
    suppressed,
    throttled,
)
from services.notification.mail.message import build_message, to_mail_address
from services.notification.mail.recipient_throttle import RecipientThrottle
from services.notification.mail.recipients import RecipientLookup
from services.notification.mail.smtp import MailDeferred, MailRejected, MailServerUnavailable, SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries

BATCH_SIZE = 50
LEASE_SECONDS = 120.0
BATCH_SECONDS = 40.0
"""Time after which no further mail of a batch is started, so that even a hanging one ends before the lease does."""
POLL_SECONDS = 0.25
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0
"""Pause after the mail server was unavailable; it doubles each time."""

log = get_logger("souk.mail")


class MailSender:
    """A background task, woken by each new delivery, that sends one mail at a time on each connection."""

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
        throttle: RecipientThrottle | None = None,
        abuse_counter: Counter | None = None,
    ) -> None:
        self.db = db
        self.recipients = recipients
        self.templates = templates
        self.connections = connections
        self.from_address = from_address
        self.rate_limit = rate_limit
        self.mail_counter = mail_counter
        self.throttle = throttle
        self.abuse_counter = abuse_counter
        self.worker = PeriodicTask(self.name, self.send_batch, interval_seconds=POLL_SECONDS)
        self._pause = 0.0
        self._paused_until = 0.0
        self._stopping = False

    def wake(self) -> None:
        """Makes the sender look for due deliveries now."""
        self.worker.wake()

    async def run(self) -> None:
        """Sends until cancelled, then closes the connections."""
        try:
            await self.worker.run()
        finally:
            for connection in self.connections:
                await connection.close()

    async def send_batch(self) -> bool:
        """Sends one batch within the rate limit, unless sending is paused; returns whether there may be more."""
        if time.monotonic() < self._paused_until:
            return False
        allowed = self.rate_limit.take(BATCH_SIZE)
        if not allowed:
            return False
        batch = asyncio.create_task(self._claim_and_deliver(allowed))
        try:
            return await asyncio.shield(batch) == allowed
        except asyncio.CancelledError:
            self._stopping = True
            await batch
            raise

    async def _claim_and_deliver(self, allowed: int) -> int:
        async with self.db.connection() as connection:
            batch = await deliveries.claim(connection, limit=allowed, lease_seconds=LEASE_SECONDS)
        self.rate_limit.give_back(allowed - len(batch))
        if batch:
            failpoint("notification.claimed")
            await self._deliver(batch)
        return len(batch)

    async def _deliver(self, batch: Sequence[MailDelivery]) -> None:
        waiting, results = deque(batch), list[tuple[MailDelivery, DeliveryOutcome]]()
        deadline = time.monotonic() + BATCH_SECONDS
        await asyncio.gather(
            *(self._send_on(connection, waiting, results, deadline) for connection in self.connections)
        )
        results += [(delivery, requeued(delivery)) for delivery in waiting]
        async with self.db.connection() as connection:
            await deliveries.record_outcomes(connection, results)
        failpoint("notification.concluded")

    async def _send_on(
        self,
        connection: SmtpConnection,
        waiting: deque[MailDelivery],
        results: list[tuple[MailDelivery, DeliveryOutcome]],
        deadline: float,
    ) -> None:
        try:
            while waiting and not self._stopping and time.monotonic() < deadline:
                await connection.ensure_connected()
                if waiting:  # another connection may have taken the last one meanwhile
                    delivery = waiting.popleft()
                    results.append((delivery, await self._attempt(connection, delivery)))
            self._pause = 0.0
        except MailServerUnavailable as error:
            self._start_pause(error)

    def _start_pause(self, error: MailServerUnavailable) -> None:
        """Stops sending for a while, longer each time; the mails stay due."""
        self._pause = min(max(self._pause * 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        self._paused_until = time.monotonic() + self._pause
        log.warning("mail server unavailable: %s", error, pause=self._pause)

    async def _attempt(self, connection: SmtpConnection, delivery: MailDelivery) -> DeliveryOutcome:
        """Tries to send a mail, within the trace of its event; an error with one mail does not affect the others."""
        with trace.activate(trace.parse(delivery.traceparent, request_id=delivery.request_id)):
            try:
                outcome = await self._send(connection, delivery)
            except MailRejected as error:
                outcome = rejected(delivery, str(error))
            except MailDeferred as error:
                outcome = retry_later(delivery, str(error))
            except Fail as fail:
                outcome = retry_later(delivery, f"the recipient could not be looked up: {fail.code}")
            except Exception as error:
                log.exception("mail could not be built")
                outcome = retry_later(delivery, type(error).__name__)
            self._report(delivery, outcome)
            return outcome

    async def _send(self, connection: SmtpConnection, delivery: MailDelivery) -> DeliveryOutcome:
        recipient = await self.recipients.find(delivery)
        if recipient is None:
            return suppressed(delivery)
        rendered = self.templates.render(delivery, recipient)
        message = build_message(delivery, rendered, recipient, self.from_address, now())
        if self.throttle and not await self.throttle.allows(delivery, recipient):
            self._count_abuse(delivery, "throttled")
            return throttled(delivery)
        if recipient.is_name_withheld:
            self._count_abuse(delivery, "name_withheld")
        with trace.child_span("send mail", SpanKind.CLIENT, _span_attributes(delivery)):
            await connection.send(message, self.from_address.addr_spec, to_mail_address(recipient.email))
        failpoint("notification.accepted")
        return sent(delivery)

    def _count_abuse(self, delivery: MailDelivery, kind: str) -> None:
        if self.abuse_counter:
            self.abuse_counter.labels(delivery.kind, kind).inc()

    def _report(self, delivery: MailDelivery, outcome: DeliveryOutcome) -> None:
        self.mail_counter.labels(delivery.kind, outcome.status).inc()
        fields: dict[str, object] = {"delivery_id": delivery.id, "order_id": delivery.order_id, "kind": delivery.kind}
        if outcome.status is DeliveryStatus.SENT:
            log.info("mail sent", **fields)
        else:
            fields |= {"status": outcome.status, "reason": outcome.reason, "attempts": outcome.attempts}
            log.warning("mail not sent", **fields)


def _span_attributes(delivery: MailDelivery) -> trace.Attributes:
    """What the span of a mail tells: not the recipient, whose address is personal."""
    return {"souk.mail.kind": delivery.kind, "souk.delivery_id": str(delivery.id)}
