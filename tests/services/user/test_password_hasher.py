"""Password hashing with bcrypt, its queue and its limits."""

import asyncio
import time
import unicodedata

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


NFC, NFD = "crème brûlée ế", unicodedata.normalize("NFD", "crème brûlée ế")


@pytest.mark.parametrize("set_as", [NFC, NFD])
@pytest.mark.parametrize("typed", [NFC, NFD])
async def test_password_is_compared_in_nfc(hasher: PasswordHasher, set_as: str, typed: str) -> None:
    stored = await hasher.hash(SecretStr(set_as))
    assert bcrypt.checkpw(NFC.encode(), stored.encode())
    assert await hasher.find_matching_form(SecretStr(typed), stored) == NFC
    assert not await hasher.verify(SecretStr("creme brulee e"), stored)


@pytest.mark.parametrize("typed", [NFC, NFD])
async def test_old_hash_of_another_form_matches_and_is_replaced(hasher: PasswordHasher, typed: str) -> None:
    old = bcrypt.hashpw(NFD.encode(), bcrypt.gensalt(COST)).decode()
    form = await hasher.find_matching_form(SecretStr(typed), old)
    assert form == NFD
    new = await hasher.rehash_if_outdated(form, old)
    assert new is not None
    assert await hasher.find_matching_form(SecretStr(typed), new) == NFC
    assert await hasher.rehash_if_outdated(NFC, new) is None


async def test_old_hash_of_a_mixed_form_matches_as_it_was_typed(hasher: PasswordHasher) -> None:
    mixed = NFC[:6] + NFD[6:]
    old = bcrypt.hashpw(mixed.encode(), bcrypt.gensalt(COST)).decode()
    assert await hasher.find_matching_form(SecretStr(mixed), old) == mixed


async def test_old_hash_stays_when_the_nfc_form_is_too_long_for_bcrypt(hasher: PasswordHasher) -> None:
    typed = "\u0958" * 24
    assert len(typed.encode()) == 72 < len(unicodedata.normalize("NFC", typed).encode())
    old = bcrypt.hashpw(typed.encode(), bcrypt.gensalt(COST)).decode()
    form = await hasher.find_matching_form(SecretStr(typed), old)
    assert form == typed
    assert await hasher.rehash_if_outdated(form, old) is None


async def test_unknown_account_takes_as_many_hashes_as_a_wrong_password_in_any_form(
    hasher: PasswordHasher, registry: CollectorRegistry
) -> None:
    stored = await hasher.hash(SecretStr("correct horse"))
    counts = []
    for expected in (stored, None):
        before = hash_count(registry) or 0
        assert not await hasher.verify(SecretStr(NFD), expected)
        counts.append((hash_count(registry) or 0) - before)
    assert counts == [2, 2]


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
