"""Password hashing with bcrypt, in a few threads of low priority behind a short queue.

A hash takes about 0.2 s of one core, on purpose. A flood of logins must slow down logins alone: no more hashes run at
once than there are threads, the threads yield to everything else on the machine, and a request that would wait too long
is refused.
"""

import asyncio
import os
import sys
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from prometheus_client import CollectorRegistry, Histogram
from pydantic import SecretStr

from contracts.failure import Overloaded, TimedOut
from contracts.user import MAX_PASSWORD_BYTES, compose_password
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
        """Returns the bcrypt hash of a password in NFC."""
        plain = compose_password(password.get_secret_value()).encode()
        return (await self._run(lambda: bcrypt.hashpw(plain, bcrypt.gensalt(self.cost)))).decode()

    async def rehash_if_outdated(self, form: str, password_hash: str) -> str | None:
        """Hashes a password again, of which `form` has matched, when the configured cost has changed or the stored hash
        is of another form than NFC; returns None otherwise.
        """
        composed = compose_password(form)
        is_current = int(password_hash.split("$")[2]) == self.cost and composed == form
        fits = len(composed.encode()) <= MAX_PASSWORD_BYTES
        return None if is_current or not fits else await self.hash(SecretStr(composed))

    async def verify(self, password: SecretStr, password_hash: str | None) -> bool:
        """Returns whether the password matches."""
        return await self.find_matching_form(password, password_hash) is not None

    async def find_matching_form(self, password: SecretStr, password_hash: str | None) -> str | None:
        """Returns the form of the password that matches; None when none does.

        New hashes are of the NFC form. Older ones are of the form that the user's keyboard made then. An unknown
        account (no hash) and a password that no account can have take as long as any other check.
        """
        for form in _forms(password.get_secret_value()):
            if await self._matches(form, password_hash):
                return form
        return None

    async def _matches(self, form: str, password_hash: str | None) -> bool:
        plain = form.encode()
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


def _forms(password: str) -> list[str]:
    """Returns the ways to write a password: NFC first, then as it was typed, then NFD. Most passwords have only one."""
    return list(dict.fromkeys((compose_password(password), password, unicodedata.normalize("NFD", password))))


def _run_timed(work: Callable[[], T], deadline: float | None) -> tuple[T, float]:
    if deadline is not None and deadline < time.monotonic():
        raise TimedOut
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _lower_thread_priority() -> None:
    if sys.platform == "linux":  # only here does niceness belong to a thread
        os.nice(NICENESS)
