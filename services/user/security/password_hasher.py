"""Password hashing with bcrypt, in a few threads of low priority behind a short queue.

A hash takes about 0.2 s of one core, on purpose. A flood of logins must slow down logins alone: no more hashes run at
once than there are threads, the threads yield to everything else on the machine, and a request that would wait too long
is refused.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from prometheus_client import CollectorRegistry, Histogram
from pydantic import SecretStr

from contracts.failure import Overloaded, TimedOut
from contracts.user import MAX_PASSWORD_BYTES
from infra.foundation import trace
from infra.foundation.telemetry import DURATION_BUCKETS_SECONDS

T = TypeVar("T")

NICENESS = 10
SECONDS_PER_ROUND = 60e-6
"""Estimated duration of one bcrypt round, used until the first hash was measured."""
AVERAGE_WEIGHT = 0.7
"""Weight of the previous average when a new duration is measured."""
DECOY_HASH_BODY = b"." * 31


class PasswordHasher:
    """Hashes and verifies passwords; durations are observed in `souk_password_hash_seconds`."""

    def __init__(self, cost: int, *, threads: int, max_wait_seconds: float, registry: CollectorRegistry) -> None:
        self.cost = cost
        self.threads = threads
        self.max_wait_seconds = max_wait_seconds
        self.in_flight = 0
        self.estimated_seconds = 2**cost * SECONDS_PER_ROUND
        self.registry = registry
        self.duration_histogram = Histogram(
            "souk_password_hash_seconds",
            "Duration of password hashes in seconds.",
            buckets=DURATION_BUCKETS_SECONDS,
            registry=registry,
        )
        self._decoy_hash = bcrypt.gensalt(cost) + DECOY_HASH_BODY
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bcrypt", initializer=_lower_thread_priority)

    async def hash(self, password: SecretStr) -> str:
        """Returns the bcrypt hash of a password."""
        plain = password.get_secret_value().encode()
        return (await self._run(lambda: bcrypt.hashpw(plain, bcrypt.gensalt(self.cost)))).decode()

    async def rehash_if_outdated(self, password: SecretStr, password_hash: str) -> str | None:
        """Hashes a verified password again when the configured cost has changed; returns None otherwise."""
        stored_cost = int(password_hash.split("$")[2])
        return None if stored_cost == self.cost else await self.hash(password)

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Returns whether the password matches.

        An unknown account (no hash) and a password that no account can have take as long as any other check.
        """
        plain = password.get_secret_value().encode()
        can_match = password_hash is not None and len(plain) <= MAX_PASSWORD_BYTES
        expected = password_hash.encode() if password_hash is not None and can_match else self._decoy_hash
        return await self._run(lambda: bcrypt.checkpw(plain[:MAX_PASSWORD_BYTES], expected)) and can_match

    async def _run(self, work: Callable[[], T]) -> T:
        queued = max(0, self.in_flight - self.threads + 1)
        if queued and (queued / self.threads + 1) * self.estimated_seconds > self.max_wait_seconds:
            raise Overloaded(retry_after=1)
        self.in_flight += 1
        deadline = trace.current().deadline
        try:
            loop = asyncio.get_running_loop()
            result, seconds = await loop.run_in_executor(self._pool, _run_timed, work, deadline)
        finally:
            self.in_flight -= 1
        self.duration_histogram.observe(seconds)
        self.estimated_seconds = AVERAGE_WEIGHT * self.estimated_seconds + (1 - AVERAGE_WEIGHT) * seconds
        return result


def _run_timed(work: Callable[[], T], deadline: float | None) -> tuple[T, float]:
    if deadline is not None and deadline < time.monotonic():
        raise TimedOut
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _lower_thread_priority() -> None:
    if sys.platform == "linux":  # only here does niceness belong to a thread
        os.nice(NICENESS)
