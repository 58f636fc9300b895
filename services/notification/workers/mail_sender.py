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
from infra.foundation.background import Worker
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from services.notification.domain.deliveries import Delivery, Outcome, again, refused, sent, suppressed, untouched
from services.notification.mail.contacts import Contacts
from services.notification.mail.message import enclose
from services.notification.mail.smtp import Away, Postponed, Refused, Smtp
from services.notification.mail.templates import Letters
from services.notification.mail.token_bucket import Pace
from services.notification.store import deliveries as store

MOST_AT_ONCE = 50
LEASE_SECONDS = 120.0
BATCH_SECONDS = 40.0
"""After so long no further mail of a batch is begun: even with one that hangs, it ends before the lease does."""
POLL = 0.25
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 60.0

log = logging.getLogger("souk.mail")


class Sender:
    """Sends in the background, woken by a new delivery; on each of `lines`, one mail after the other."""

    name = "mail sender"

    def __init__(
        self,
        db: Database,
        contacts: Contacts,
        letters: Letters,
        lines: Sequence[Smtp],
        *,
        sender: Address,
        pace: Pace,
        mails: Counter,
    ) -> None:
        self.db = db
        self.contacts = contacts
        self.letters = letters
        self.lines = lines
        self.sender = sender
        self.pace = pace
        self.mails = mails
        self.worker = Worker(self.name, self.work, every=POLL)
        self._pause = 0.0
        self._paused_until = 0.0
        self._stopping = False

    def wake(self) -> None:
        self.worker.wake()

    async def run(self) -> None:
        try:
            await self.worker.run()
        finally:
            for line in self.lines:
                await line.close()

    async def work(self) -> bool:
        """One batch, as far as the pace and the mail server allow; whether there may be more."""
        if time.monotonic() < self._paused_until:
            return False
        allowed = self.pace.take(MOST_AT_ONCE)
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
            batch = await store.claim(connection, most=allowed, lease=LEASE_SECONDS)
        self.pace.give_back(allowed - len(batch))
        if batch:
            crash_point("notification.claimed")
            await self._deliver(batch)
        return len(batch)

    async def _deliver(self, batch: Sequence[Delivery]) -> None:
        waiting, done = deque(batch), list[tuple[Delivery, Outcome]]()
        ends = time.monotonic() + BATCH_SECONDS
        await asyncio.gather(*(self._send_on(line, waiting, done, ends) for line in self.lines))
        done += [(delivery, untouched(delivery)) for delivery in waiting]
        async with self.db.connection() as connection:
            await store.conclude(connection, done)
        crash_point("notification.concluded")

    async def _send_on(
        self, line: Smtp, waiting: deque[Delivery], done: list[tuple[Delivery, Outcome]], ends: float
    ) -> None:
        try:
            while waiting and not self._stopping and time.monotonic() < ends:
                await line.ready()
                if waiting:  # another line may have taken the last one meanwhile
                    delivery = waiting.popleft()
                    done.append((delivery, await self._attempt(line, delivery)))
            self._pause = 0.0
        except Away as away:
            self._rest(away)

    def _rest(self, away: Away) -> None:
        """Leaves the server alone for a while, longer each time; the mails stay due."""
        self._pause = min(max(self._pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE)
        self._paused_until = time.monotonic() + self._pause
        log.warning("no mail can be sent: %s", away, extra={"fields": {"pause": self._pause}})

    async def _attempt(self, line: Smtp, delivery: Delivery) -> Outcome:
        """What became of it, in the trace of the order; one mail's bad luck is never another's."""
        with trace.within(trace.parse(delivery.traceparent, request_id=delivery.request_id)):
            try:
                outcome = await self._send(line, delivery)
            except Refused as error:
                outcome = refused(delivery, str(error))
            except Postponed as error:
                outcome = again(delivery, str(error))
            except Fail as fail:
                outcome = again(delivery, f"where the customer is reached is not known yet: {fail.code}")
            except Exception as error:
                log.exception("a mail could not be written")
                outcome = again(delivery, type(error).__name__)
            self._note(delivery, outcome)
            return outcome

    async def _send(self, line: Smtp, delivery: Delivery) -> Outcome:
        to = await self.contacts.of(delivery)
        if to is None:
            return suppressed(delivery)
        letter = self.letters.write(delivery, to)
        mail = enclose(delivery, letter, to, self.sender, now())
        await line.send(mail, self.sender.addr_spec, to.email)
        crash_point("notification.accepted")
        return sent(delivery)

    def _note(self, delivery: Delivery, outcome: Outcome) -> None:
        self.mails.labels(delivery.kind, outcome.status).inc()
        about: dict[str, object] = {"delivery_id": delivery.id, "order_id": delivery.order_id, "kind": delivery.kind}
        if outcome.status is DeliveryStatus.SENT:
            log.info("mail sent", extra={"fields": about})
        else:
            about |= {"status": outcome.status, "reason": outcome.reason, "attempts": outcome.attempts}
            log.warning("mail not sent", extra={"fields": about})
