"""Mixed open-loop traffic: checkouts begin at a fixed rate, whatever becomes of the earlier ones.

A client without a clear response repeats its request under the same idempotency key, most clients for the better part
of a minute. The others give up at once, so the outcome of their requests stays unknown.
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
"""Customers beyond this number leave at once: counted, and not served."""
NO_RETRY_SHARE = 0.4
"""The share of clients that do not repeat a request."""
RETRY_SECONDS = 45.0
"""How long the others repeat it."""
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 10.0
SHUTDOWN_SECONDS = 12.0
"""How long customers have to finish after the last arrival."""


@dataclass(slots=True)
class LoadCustomer:
    """A signed-in customer; only one story at a time uses a customer's cart."""

    token: str
    email: str
    cart_id: str = ""
    busy_until: float = 0.0
    """The time from which none of the customer's requests can still be in progress."""


@dataclass
class LoadGenerator:
    """What the stories share: the HTTP client, the journal, the customers, the products and the counts."""

    http: LoadHttpClient
    journal: WriteJournal
    random: random.Random
    rate: float
    admin: str = ""
    skus: list[str] = field(default_factory=list)
    slugs: list[str] = field(default_factory=list)
    products: list[str] = field(default_factory=list)
    coupons: list[str] = field(default_factory=list)
    gift_cards: list[str] = field(default_factory=list)
    """Their codes."""
    idle_customers: deque[LoadCustomer] = field(default_factory=deque)
    customers: list[LoadCustomer] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Responses by kind of request and outcome."""
    error_seconds: list[float] = field(default_factory=list)
    """Seconds of each 5xx response: an outage must be reported fast."""
    checkouts_offered: int = 0
    out_of_stock: int = 0
    answered_checkouts: list[tuple[float, float]] = field(default_factory=list)
    """When each answered checkout was sent (the attempt that counts) and answered."""
    started_at: float = 0.0
    stopped_at: float = 0.0
    give_up_at: float = 0.0
    """When customers stop repeating requests; 0 while the load runs."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # Requests of the stories.

    def pick_sku(self) -> str:
        """Picks a SKU with Zipf-like popularity."""
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
        """Returns the response that tells the outcome, or None if it stays unknown. `once` forbids repetition."""
        give_up = self.random.random() < NO_RETRY_SHARE or once
        until = time.monotonic() + (0 if give_up else RETRY_SECONDS)
        pause = FIRST_RETRY_SECONDS
        while True:
            started_at = time.monotonic()
            response = await self._try(kind, method, path, body, token=token, key=key, media=media)
            if response is not None and not response.is_ambiguous:
                if kind == "order" and response.status == 201:
                    self.answered_checkouts.append((started_at, time.monotonic()))
                return response
            if response is not None:
                self.error_seconds.append(time.monotonic() - started_at)
            if time.monotonic() > until or (self.give_up_at and time.monotonic() > self.give_up_at):
                return None
            await asyncio.sleep(pause * self.random.uniform(0.5, 1.5))
            pause = min(pause * 2, MAX_RETRY_SECONDS)

    async def _try(
        self, kind: str, method: str, path: str, body: Any, token: str, key: str, media: str
    ) -> LoadResponse | None:
        try:
            response = await self.http.send(method, path, body, token=token, key=key, media=media)
        except (OSError, TimeoutError) as error:
            self.outcomes[kind, "no response" if isinstance(error, TimeoutError) else "no connection"] += 1
            return None
        outcome = str(response.status) if response.status < 400 else f"{response.status} {response.code}".strip()
        self.outcomes[kind, outcome] += 1
        return response

    # Arrivals.

    async def run_arrivals(self, rate: float, story: Callable[[], Awaitable[None]], *, counted: bool = False) -> None:
        """Begins a story at random moments at this rate, until it is cancelled."""
        due = time.monotonic()
        while True:
            due += self.random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.checkouts_offered += counted
            if len(self._tasks) < MAX_CONCURRENT_CUSTOMERS:
                task = asyncio.create_task(self._read(story))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self.outcomes["order" if counted else "others", "not sent"] += 1

    async def _read(self, story: Callable[[], Awaitable[None]]) -> None:
        """Runs a story; a response that it cannot read is recorded as wrong."""
        try:
            await story()
        except (KeyError, ValueError, TypeError) as error:
            self.journal.wrong_responses.append(f"a response could not be read: {type(error).__name__} {error}")

    async def close(self) -> None:
        """Ends the arrivals; customers in the shop may finish, and are cancelled after that."""
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

    # Results.

    @property
    def seconds(self) -> float:
        return (self.stopped_at or time.monotonic()) - self.started_at

    @property
    def served_share(self) -> float:
        """The share of checkouts that were answered: placed, or refused as out of stock."""
        return (
            (len(self.answered_checkouts) + self.out_of_stock) / self.checkouts_offered
            if self.checkouts_offered
            else 0.0
        )

    @property
    def internal_errors(self) -> int:
        """Responses of 500: an outage of any server must be reported as 503 or 504."""
        return sum(count for (_, outcome), count in self.outcomes.items() if outcome.startswith("500"))

    def recent_rate(self, seconds: float = 2.0) -> float:
        """The recent rate of checkouts per second."""
        since = time.monotonic() - seconds
        return sum(1 for _, response in self.answered_checkouts[-600:] if response > since) / seconds

    def recovery_seconds(self, after: float) -> float | None:
        """Seconds from a moment until a checkout sent after it was answered. Call it after the load has ended."""
        sent = self.answered_checkouts
        later = [response for _, response in sent[bisect_left(sent, (after, 0.0)) :][:200]]
        return min(later) - after if later else None
