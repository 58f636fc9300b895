"""Mixed traffic that does not wait for the shop: so many checkouts begin every second, whatever becomes of them.

A client that is not answered, or with a doubtful status, asks again under the same idempotency key, most of them for
the better part of a minute; the others give up at once, so that nobody ever knows what became of theirs.
"""

import asyncio
import random
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.http_client import LoadHttpClient, LoadResponse
from tests.chaos.write_journal import WriteJournal

MAX_CONCURRENT_CUSTOMERS = 2500
"""Customers in the shop at once. Beyond it, one who comes leaves again: counted, and not served."""
NO_RETRY_SHARE = 0.4
"""The share of clients that do not ask again."""
RETRY_SECONDS = 45.0
"""Seconds for which the others go on asking."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 10.0
SHUTDOWN_SECONDS = 12.0
"""Seconds that customers have to finish once nobody comes any more."""


@dataclass(slots=True)
class LoadCustomer:
    """Somebody signed in. A cart's story is one customer's at a time."""

    token: str
    email: str
    cart_id: str = ""
    busy_until: float = 0.0
    """When it is sure that nothing of theirs is still on its way."""


@dataclass
class LoadGenerator:
    """What the stories share: the wire, the journal, who is there, what is sold, and the count of it all."""

    http: LoadHttpClient
    journal: WriteJournal
    random: random.Random
    rate: float
    admin: str = ""
    skus: list[str] = field(default_factory=list)
    slugs: list[str] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    idle_customers: deque[LoadCustomer] = field(default_factory=deque)
    customers: list[LoadCustomer] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers by kind of request and outcome."""
    error_seconds: list[float] = field(default_factory=list)
    """Seconds that answers of 5xx took: an outage has to be told fast."""
    checkouts_offered: int = 0
    out_of_stock: int = 0
    answered_checkouts: list[tuple[float, float]] = field(default_factory=list)
    """When each answered checkout was sent, the time that counts, and when it was answered."""
    started_at: float = 0.0
    stopped_at: float = 0.0
    give_up_at: float = 0.0
    """When customers stop trying; 0 while the shop is open."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # What a story does.

    def pick_sku(self) -> str:
        """Zipf-like: the first is wanted most."""
        return self.random.choices(self.skus, weights=[1 / (n + 1) for n in range(len(self.skus))])[0]

    def pick_lines(self) -> dict[str, int]:
        found = {self.pick_sku() for _ in range(self.random.choice((1, 1, 2)))}
        return {sku: self.random.choice((1, 1, 1, 2)) for sku in sorted(found)}

    async def request(
        self,
        kind: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes = b"",
        *,
        token: str = "",
        key: str = "",
        media: str = "",
        once: bool = False,
    ) -> LoadResponse | None:
        """The answer that tells what has happened, or None: nobody knows. `once` is for what must not be repeated."""
        give_up = self.random.random() < NO_RETRY_SHARE or once
        until = time.monotonic() + (0 if give_up else RETRY_SECONDS)
        pause = FIRST_RETRY_SECONDS
        while True:
            began = time.monotonic()
            answer = await self._try(kind, method, path, body, token=token, key=key, media=media)
            if answer is not None and not answer.is_ambiguous:
                if kind == "order" and answer.status == 201:
                    self.answered_checkouts.append((began, time.monotonic()))
                return answer
            if answer is not None:
                self.error_seconds.append(time.monotonic() - began)
            if time.monotonic() > until or (self.give_up_at and time.monotonic() > self.give_up_at):
                return None
            await asyncio.sleep(pause * self.random.uniform(0.5, 1.5))
            pause = min(pause * 2, MAX_RETRY_SECONDS)

    async def _try(
        self, kind: str, method: str, path: str, body: Any, token: str, key: str, media: str
    ) -> LoadResponse | None:
        try:
            answer = await self.http.send(method, path, body, token=token, key=key, media=media)
        except (OSError, TimeoutError) as error:
            self.outcomes[kind, "no answer" if isinstance(error, TimeoutError) else "no connection"] += 1
            return None
        outcome = str(answer.status) if answer.status < 400 else f"{answer.status} {answer.code}".strip()
        self.outcomes[kind, outcome] += 1
        return answer

    # How customers come.

    async def run_arrivals(self, rate: float, story: Callable[[], Awaitable[None]], *, counted: bool = False) -> None:
        """So many of a story begin every second, at random moments, for as long as this is not cancelled."""
        due = time.monotonic()
        while True:
            due += self.random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.checkouts_offered += counted
            if len(self._tasks) < MAX_CONCURRENT_CUSTOMERS:
                task = asyncio.create_task(self._told(story))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self.outcomes["order" if counted else "others", "not sent"] += 1

    async def _told(self, story: Callable[[], Awaitable[None]]) -> None:
        """A story that goes wrong in a way that nobody foresaw is a fault of an answer: it is kept, not lost."""
        try:
            await story()
        except (KeyError, ValueError, TypeError) as error:
            self.journal.wrong_responses.append(f"an answer could not be read: {type(error).__name__} {error}")

    async def close(self) -> None:
        """Nobody comes any more; those who are there finish, or are shown out."""
        self.stopped_at = time.monotonic()
        self.give_up_at = self.stopped_at + SHUTDOWN_SECONDS
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=SHUTDOWN_SECONDS + 10)
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.http.close()
        self.answered_checkouts.sort()

    # What came of it.

    @property
    def seconds(self) -> float:
        return (self.stopped_at or time.monotonic()) - self.started_at

    @property
    def served_share(self) -> float:
        """The share of checkouts that were answered: placed, or refused because the stock was gone."""
        return (
            (len(self.answered_checkouts) + self.out_of_stock) / self.checkouts_offered
            if self.checkouts_offered
            else 0.0
        )

    @property
    def internal_errors(self) -> int:
        """Answers of 500: what is away is told as 503 or 504, whatever is the matter with it."""
        return sum(count for (_, outcome), count in self.outcomes.items() if outcome.startswith("500"))

    def recent_rate(self, seconds: float = 2.0) -> float:
        """Checkouts a second, of late."""
        since = time.monotonic() - seconds
        return sum(1 for _, answered in self.answered_checkouts[-600:] if answered > since) / seconds

    def recovery_seconds(self, after: float) -> float | None:
        """Seconds from a moment until a checkout that was sent later has been answered; once the load has ended."""
        sent = self.answered_checkouts
        later = [answered for _, answered in sent[bisect_left(sent, (after, 0.0)) :][:200]]
        return min(later) - after if later else None
