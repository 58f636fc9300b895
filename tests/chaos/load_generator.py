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

from tests.chaos.http_client import Answer, Wire
from tests.chaos.write_journal import Journal

MOST_AT_ONCE = 2500
"""Customers in the shop at once. Beyond it, one who comes leaves again: counted, and not served."""
GIVE_UP_AT_ONCE = 0.4
"""The share of clients that do not ask again."""
STUBBORN = 45.0
"""Seconds for which the others go on asking."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
GRACE = 12.0
"""Seconds that customers have to finish once nobody comes any more."""


@dataclass(slots=True)
class Customer:
    """Somebody signed in. A cart's story is one customer's at a time."""

    token: str
    email: str
    cart_id: str = ""
    rests_until: float = 0.0
    """When it is sure that nothing of theirs is still on its way."""


@dataclass
class Load:
    """What the stories share: the wire, the journal, who is there, what is sold, and the count of it all."""

    wire: Wire
    journal: Journal
    random: random.Random
    rate: float
    admin: str = ""
    skus: list[str] = field(default_factory=list)
    slugs: list[str] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    free: deque[Customer] = field(default_factory=deque)
    everybody: list[Customer] = field(default_factory=list)
    tally: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Answers by kind of request and outcome."""
    took: list[float] = field(default_factory=list)
    """Seconds that answers of 5xx took: an outage has to be told fast."""
    offered: int = 0
    out_of_stock: int = 0
    successes: list[tuple[float, float]] = field(default_factory=list)
    """When each answered checkout was sent, the time that counts, and when it was answered."""
    begun: float = 0.0
    ended: float = 0.0
    closing: float = 0.0
    """When customers stop trying; 0 while the shop is open."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # What a story does.

    def sku(self) -> str:
        """Zipf-like: the first is wanted most."""
        return self.random.choices(self.skus, weights=[1 / (n + 1) for n in range(len(self.skus))])[0]

    def lines(self) -> dict[str, int]:
        found = {self.sku() for _ in range(self.random.choice((1, 1, 2)))}
        return {sku: self.random.choice((1, 1, 1, 2)) for sku in sorted(found)}

    async def ask(
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
    ) -> Answer | None:
        """The answer that tells what has happened, or None: nobody knows. `once` is for what must not be repeated."""
        give_up = self.random.random() < GIVE_UP_AT_ONCE or once
        until = time.monotonic() + (0 if give_up else STUBBORN)
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            answer = await self._try(kind, method, path, body, token=token, key=key, media=media)
            if answer is not None and not answer.doubtful:
                if kind == "order" and answer.status == 201:
                    self.successes.append((began, time.monotonic()))
                return answer
            if answer is not None:
                self.took.append(time.monotonic() - began)
            if time.monotonic() > until or (self.closing and time.monotonic() > self.closing):
                return None
            await asyncio.sleep(pause * self.random.uniform(0.5, 1.5))
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _try(
        self, kind: str, method: str, path: str, body: Any, token: str, key: str, media: str
    ) -> Answer | None:
        try:
            answer = await self.wire.send(method, path, body, token=token, key=key, media=media)
        except (OSError, TimeoutError) as error:
            self.tally[kind, "no answer" if isinstance(error, TimeoutError) else "no connection"] += 1
            return None
        outcome = str(answer.status) if answer.status < 400 else f"{answer.status} {answer.code}".strip()
        self.tally[kind, outcome] += 1
        return answer

    # How customers come.

    async def arrive(self, rate: float, story: Callable[[], Awaitable[None]], *, counted: bool = False) -> None:
        """So many of a story begin every second, at random moments, for as long as this is not cancelled."""
        due = time.monotonic()
        while True:
            due += self.random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.offered += counted
            if len(self._tasks) < MOST_AT_ONCE:
                task = asyncio.create_task(self._told(story))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self.tally["order" if counted else "others", "not sent"] += 1

    async def _told(self, story: Callable[[], Awaitable[None]]) -> None:
        """A story that goes wrong in a way that nobody foresaw is a fault of an answer: it is kept, not lost."""
        try:
            await story()
        except (KeyError, ValueError, TypeError) as error:
            self.journal.wrong.append(f"an answer could not be read: {type(error).__name__} {error}")

    async def close(self) -> None:
        """Nobody comes any more; those who are there finish, or are shown out."""
        self.ended = time.monotonic()
        self.closing = self.ended + GRACE
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=GRACE + 10)
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self.wire.close()
        self.successes.sort()

    # What came of it.

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.begun

    @property
    def served(self) -> float:
        """The share of checkouts that were answered: placed, or refused because the stock was gone."""
        return (len(self.successes) + self.out_of_stock) / self.offered if self.offered else 0.0

    @property
    def bugs(self) -> int:
        """Answers of 500: what is away is told as 503 or 504, whatever is the matter with it."""
        return sum(count for (_, outcome), count in self.tally.items() if outcome.startswith("500"))

    def recent(self, seconds: float = 2.0) -> float:
        """Checkouts a second, of late."""
        since = time.monotonic() - seconds
        return sum(1 for _, answered in self.successes[-600:] if answered > since) / seconds

    def recovery(self, after: float) -> float | None:
        """Seconds from a moment until a checkout that was sent later has been answered; once the load has ended."""
        sent = self.successes
        later = [answered for _, answered in sent[bisect_left(sent, (after, 0.0)) :][:200]]
        return min(later) - after if later else None
