"""Password hashing with bcrypt, its queue and its limits."""

import asyncio
import time

import bcrypt
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from contracts.failure import Overloaded, TimedOut
from infra.foundation import trace
from services.user.security.password_hasher import PasswordHasher

COST = 4


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def hasher(registry: CollectorRegistry) -> PasswordHasher:
    return PasswordHasher(COST, threads=2, max_wait_seconds=2.0, registry=registry)


def hash_count(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("souk_password_hash_seconds_count")


@pytest.mark.parametrize("plain", ["correct horse", "🐎" * 18, "a" * 72])
async def test_password_matches_only_its_own_hash(hasher: PasswordHasher, plain: str) -> None:
    stored = await hasher.hash(SecretStr(plain))
    assert stored.startswith("$2b$04$")
    assert await hasher.verify(SecretStr(plain), stored)
    assert not await hasher.verify(SecretStr(plain[:-1]), stored)


async def test_password_beyond_the_bcrypt_limit_does_not_match(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(SecretStr("a" * 72))
    assert not await hasher.verify(SecretStr("a" * 73), stored)


@pytest.mark.parametrize("plain", ["correct horse", "", "a" * 1024, "🐎" * 19, "nul\0nul\0"])
async def test_unknown_account_takes_one_hash_of_the_same_cost(
    hasher: PasswordHasher, registry: CollectorRegistry, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    real = bcrypt.checkpw

    def checkpw(given: bytes, stored: bytes) -> bool:
        costs.append(stored[:7])
        return real(given, stored)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    assert not await hasher.verify(SecretStr(plain), None)
    assert hash_count(registry) == 1
    assert costs == [b"$2b$04$"]


async def test_request_that_would_wait_too_long_is_refused_at_once(registry: CollectorRegistry) -> None:
    hasher = PasswordHasher(10, threads=1, max_wait_seconds=0.1, registry=registry)
    start_totp = time.perf_counter()
    results = await asyncio.gather(
        *(hasher.verify(SecretStr("correct horse"), None) for _ in range(50)), return_exceptions=True
    )
    error = [result for result in results if isinstance(result, Overloaded)]
    assert len(error) > 40
    assert all(fail.retry_after for fail in error)
    assert hash_count(registry) == 50 - len(error)
    assert time.perf_counter() - start_totp < 5
    assert not await hasher.verify(SecretStr("correct horse"), None), "there is room again"


async def test_event_loop_runs_while_passwords_are_hashed(registry: CollectorRegistry) -> None:
    hasher = PasswordHasher(10, threads=1, max_wait_seconds=5.0, registry=registry)
    hashing = asyncio.gather(*(hasher.hash(SecretStr("correct horse")) for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    await hashing
    assert turns > 100


async def test_nothing_is_hashed_after_the_deadline(hasher: PasswordHasher, registry: CollectorRegistry) -> None:
    late = trace.parse(None, deadline=time.monotonic() - 1)
    with trace.activate(late), pytest.raises(TimedOut):
        await hasher.hash(SecretStr("correct horse"))
    assert hash_count(registry) == 0
