"""Passwords: bcrypt in a few threads of low priority, with a short line before them.

A hash takes a fifth of a second of a core, on purpose. So that a flood of logins slows logins alone, no more run at
once than there are cores, they yield to everything else on the machine, and whoever would wait too long is refused.
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
"""What a hash takes, before the first one was measured."""
AVERAGE_WEIGHT = 0.7
"""How much of the known duration stays when a new one is measured."""
DECOY_HASH_BODY = b"." * 31


class PasswordHasher:
    """Hashes passwords and compares them; what it did is counted in `souk_password_hash_seconds`."""

    def __init__(self, cost: int, *, threads: int, max_wait_seconds: float, registry: CollectorRegistry) -> None:
        self.cost = cost
        self.threads = threads
        self.max_wait_seconds = max_wait_seconds
        self.in_flight = 0
        self.estimated_seconds = 2**cost * SECONDS_PER_ROUND
        self.registry = registry
        self.duration_histogram = Histogram(
            "souk_password_hash_seconds", "Passwords hashed.", buckets=DURATION_BUCKETS_SECONDS, registry=registry
        )
        self._decoy = bcrypt.gensalt(cost) + DECOY_HASH_BODY
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bcrypt", initializer=_yield_to_others)

    async def hash(self, password: SecretStr) -> str:
        plain = password.get_secret_value().encode()
        return (await self._run(lambda: bcrypt.hashpw(plain, bcrypt.gensalt(self.cost)))).decode()

    async def rehash_if_outdated(self, password: SecretStr, password_hash: str) -> str | None:
        """A password that was found right, hashed with the cost of today; None where it has that already."""
        kept = int(password_hash.split("$")[2])
        return None if kept == self.cost else await self.hash(password)

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Takes the same time without a hash, for an unknown account, and for a password that no account can have."""
        plain = password.get_secret_value().encode()
        real = password_hash is not None and len(plain) <= MAX_PASSWORD_BYTES
        kept = password_hash.encode() if password_hash is not None and real else self._decoy
        return await self._run(lambda: bcrypt.checkpw(plain[:MAX_PASSWORD_BYTES], kept)) and real

    async def _run(self, work: Callable[[], T]) -> T:
        ahead = max(0, self.in_flight - self.threads + 1)
        if ahead and (ahead / self.threads + 1) * self.estimated_seconds > self.max_wait_seconds:
            raise Overloaded(retry_after=1)
        self.in_flight += 1
        deadline = trace.current().deadline
        try:
            loop = asyncio.get_running_loop()
            result, seconds = await loop.run_in_executor(self._pool, _timed, work, deadline)
        finally:
            self.in_flight -= 1
        self.duration_histogram.observe(seconds)
        self.estimated_seconds = AVERAGE_WEIGHT * self.estimated_seconds + (1 - AVERAGE_WEIGHT) * seconds
        return result


def _timed(work: Callable[[], T], deadline: float | None) -> tuple[T, float]:
    if deadline is not None and deadline < time.monotonic():
        raise TimedOut
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _yield_to_others() -> None:
    if sys.platform == "linux":  # where niceness is a thread's own
        os.nice(NICENESS)
