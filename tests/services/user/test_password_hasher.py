"""bcrypt, in its line."""

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


def hashes(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("souk_password_hash_seconds_count")


@pytest.mark.parametrize("plain", ["correct horse", "🐎" * 18, "a" * 72])
async def test_a_password_matches_its_hash_and_no_other(hasher: PasswordHasher, plain: str) -> None:
    kept = await hasher.hash(SecretStr(plain))
    assert kept.startswith("$2b$04$")
    assert await hasher.verify(SecretStr(plain), kept)
    assert not await hasher.verify(SecretStr(plain[:-1]), kept)


async def test_what_bcrypt_would_cut_off_is_not_a_match(hasher: PasswordHasher) -> None:
    kept = await hasher.hash(SecretStr("a" * 72))
    assert not await hasher.verify(SecretStr("a" * 73), kept)


@pytest.mark.parametrize("plain", ["correct horse", "", "a" * 1024, "🐎" * 19, "nul\0nul\0"])
async def test_an_unknown_account_costs_one_hash_of_the_same_cost(
    hasher: PasswordHasher, registry: CollectorRegistry, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    real = bcrypt.checkpw

    def checkpw(given: bytes, kept: bytes) -> bool:
        costs.append(kept[:7])
        return real(given, kept)

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    assert not await hasher.verify(SecretStr(plain), None)
    assert hashes(registry) == 1
    assert costs == [b"$2b$04$"]


async def test_whoever_would_wait_too_long_is_refused_at_once(registry: CollectorRegistry) -> None:
    hasher = PasswordHasher(10, threads=1, max_wait_seconds=0.1, registry=registry)
    started = time.perf_counter()
    outcomes = await asyncio.gather(
        *(hasher.verify(SecretStr("correct horse"), None) for _ in range(50)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert len(refused) > 40
    assert all(fail.retry_after for fail in refused)
    assert hashes(registry) == 50 - len(refused)
    assert time.perf_counter() - started < 5
    assert not await hasher.verify(SecretStr("correct horse"), None), "there is room again"


async def test_the_loop_goes_on_while_passwords_are_hashed(registry: CollectorRegistry) -> None:
    hasher = PasswordHasher(10, threads=1, max_wait_seconds=5.0, registry=registry)
    hashing = asyncio.gather(*(hasher.hash(SecretStr("correct horse")) for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    await hashing
    assert turns > 100


async def test_nothing_is_hashed_that_nobody_waits_for(hasher: PasswordHasher, registry: CollectorRegistry) -> None:
    late = trace.parse(None, deadline=time.monotonic() - 1)
    with trace.activate(late), pytest.raises(TimedOut):
        await hasher.hash(SecretStr("correct horse"))
    assert hashes(registry) == 0
