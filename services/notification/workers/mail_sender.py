"""Sends due deliveries through the mail server.

A batch is leased in one statement, its recipients are looked up in one request, the mails are sent outside any
transaction, and their outcomes are recorded in one statement. When a process dies, its lease runs out and another
process sends the mails. One that the server had accepted already then goes out twice, with the same Message-ID; none is
lost. A process that is asked to stop finishes the current mail, starts no other, and records the outcomes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
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
from services.notification.mail.recipients import Recipient, RecipientLookup
from services.notification.mail.smtp import MailDeferred, MailRejected, MailServerUnavailable, SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries

BATCH_SIZE = 50
LEASE_SECONDS = 120.0
BATCH_SECONDS = 5.0
"""Time after which no mail of a batch is started any more. The rest is claimed again, with current recipients."""
POLL_SECONDS = 1.0
"""Interval of the search for mails that are due again, or that another process has left."""
RETRY_SECONDS = 0.25
"""Seconds to the next run while sending is paused or the rate limit is reached."""
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 60.0
"""Pause after the mail server was unavailable; it doubles each time."""

log = get_logger("souk.mail")


MailResult = tuple[MailDelivery, DeliveryOutcome]
"""A delivery with the outcome of this attempt."""


@dataclass(frozen=True, slots=True)
class PreparedMail:
    """A mail that only has to be sent."""

    delivery: MailDelivery
    recipient: Recipient
    address: str
    message: bytes


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
        is_paused = time.monotonic() < self._paused_until
        allowed = 0 if is_paused else self.rate_limit.take(BATCH_SIZE)
        if not allowed:
            self.worker.wake_after(RETRY_SECONDS)
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
        results: list[MailResult] = []
        unsent = list(batch)
        if await self._is_server_available():
            prepared = deque(await self._prepare(batch, results))
            until = time.monotonic() + BATCH_SECONDS
            await asyncio.gather(
                *(self._send_on(connection, prepared, results, until) for connection in self.connections)
            )
            unsent = [mail.delivery for mail in prepared]
        results += [(delivery, requeued(delivery)) for delivery in unsent]
        async with self.db.connection() as connection:
            await deliveries.record_outcomes(connection, results)
        failpoint("notification.concluded")

    async def _is_server_available(self) -> bool:
        """Whether mails can be sent now, so that nothing is prepared in vain."""
        try:
            await self.connections[0].ensure_connected()
        except MailServerUnavailable as error:
            self._start_pause(error)
            return False
        return True

    async def _prepare(self, batch: Sequence[MailDelivery], results: list[MailResult]) -> list[PreparedMail]:
        """Looks up the recipients together and builds the mails; those that cannot be sent are added to the results."""
        with _trace_of(batch[0]):
            recipients = await self.recipients.find_all(batch)
        prepared: list[PreparedMail] = []
        for delivery in batch:
            with _trace_of(delivery):
                mail = self._build(delivery, recipients[delivery.id])
                if isinstance(mail, PreparedMail):
                    prepared.append(mail)
                else:
                    self._conclude(delivery, mail, results)
        return await self._without_refused(prepared, results)

    def _build(self, delivery: MailDelivery, recipient: Recipient | Fail | None) -> PreparedMail | DeliveryOutcome:
        """The mail, or its outcome if there is none to send; an error with one mail does not affect the others."""
        if recipient is None:
            return suppressed(delivery)
        if isinstance(recipient, Fail):
            return retry_later(delivery, f"the recipient could not be looked up: {recipient.code}")
        try:
            rendered = self.templates.render(delivery, recipient)
            message = build_message(delivery, rendered, recipient, self.from_address, now())
            return PreparedMail(delivery, recipient, to_mail_address(recipient.email), message)
        except MailRejected as error:
            return rejected(delivery, str(error))
        except Exception as error:
            log.exception("mail could not be built")
            return retry_later(delivery, type(error).__name__)

    async def _without_refused(self, prepared: Sequence[PreparedMail], results: list[MailResult]) -> list[PreparedMail]:
        """The mails that the throttle allows; it counts them before they are sent."""
        if self.throttle is None or not prepared:
            return list(prepared)
        try:
            refused = await self.throttle.refused([(mail.delivery, mail.recipient) for mail in prepared])
        except Exception as error:
            log.exception("mails could not be counted")
            for mail in prepared:
                self._conclude(mail.delivery, retry_later(mail.delivery, type(error).__name__), results)
            return []
        for mail in prepared:
            if mail.delivery.id in refused:
                self._count_abuse(mail.delivery, "throttled")
                self._conclude(mail.delivery, throttled(mail.delivery), results)
        return [mail for mail in prepared if mail.delivery.id not in refused]

    async def _send_on(
        self, connection: SmtpConnection, prepared: deque[PreparedMail], results: list[MailResult], until: float
    ) -> None:
        try:
            while prepared and not self._stopping and time.monotonic() < until:
                await connection.ensure_connected()
                if prepared:  # another connection may have taken the last one meanwhile
                    mail = prepared.popleft()
                    self._conclude(mail.delivery, await self._attempt(connection, mail), results)
            self._pause = 0.0
        except MailServerUnavailable as error:
            self._start_pause(error)

    def _start_pause(self, error: MailServerUnavailable) -> None:
        """Stops sending for a while, longer each time; the mails stay due."""
        self._pause = min(max(self._pause * 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)
        self._paused_until = time.monotonic() + self._pause
        log.warning("mail server unavailable: %s", error, pause=self._pause)

    async def _attempt(self, connection: SmtpConnection, mail: PreparedMail) -> DeliveryOutcome:
        """Tries to send a mail, within the trace of its event."""
        delivery = mail.delivery
        with _trace_of(delivery):
            try:
                if mail.recipient.is_name_withheld:
                    self._count_abuse(delivery, "name_withheld")
                with trace.child_span("send mail", SpanKind.CLIENT, _span_attributes(delivery)):
                    await connection.send(mail.message, self.from_address.addr_spec, mail.address)
                failpoint("notification.accepted")
                return sent(delivery)
            except MailRejected as error:
                return rejected(delivery, str(error))
            except MailDeferred as error:
                return retry_later(delivery, str(error))
            except Exception as error:
                log.exception("mail could not be sent")
                return retry_later(delivery, type(error).__name__)

    def _count_abuse(self, delivery: MailDelivery, kind: str) -> None:
        if self.abuse_counter:
            self.abuse_counter.labels(delivery.kind, kind).inc()

    def _conclude(self, delivery: MailDelivery, outcome: DeliveryOutcome, results: list[MailResult]) -> None:
        """Adds an outcome to the results, counts and logs it."""
        results.append((delivery, outcome))
        self.mail_counter.labels(delivery.kind, outcome.status).inc()
        fields: dict[str, object] = {"delivery_id": delivery.id, "order_id": delivery.order_id, "kind": delivery.kind}
        with _trace_of(delivery):
            if outcome.status is DeliveryStatus.SENT:
                log.info("mail sent", **fields)
            else:
                fields |= {"status": outcome.status, "reason": outcome.reason, "attempts": outcome.attempts}
                log.warning("mail not sent", **fields)


def _trace_of(delivery: MailDelivery) -> AbstractContextManager[trace.Trace]:
    """Activates the trace of the event that the mail is about."""
    return trace.activate(trace.parse(delivery.traceparent, request_id=delivery.request_id))


def _span_attributes(delivery: MailDelivery) -> trace.Attributes:
    """What the span of a mail tells: not the recipient, whose address is personal."""
    return {"souk.mail.kind": delivery.kind, "souk.delivery_id": str(delivery.id)}
