"""The cache of public replies, with a clock that the test sets."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from contracts import headers
from contracts.failure import Fail, NotFound, TimedOut
from edge.settings import EdgeSettings
from edge.upstream.reply_cache import ENTRY_BYTES, JOIN_SECONDS, STALE_SECONDS, CachedReply, ReplyCache

KEY = ("rpc.catalog.get_product", b'{"key":"lamp"}')
MAX_AGE = 1.0


@dataclass
class CacheScenario:
    """A cache, and a service that replies when the test says so."""

    max_bytes: int = 1024 * 1024
    now: float = 100.0
    fetches: list[asyncio.Future[tuple[bytes, Mapping[str, str]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = EdgeSettings(_env_file=None, nats_password="x", edge_cache_bytes=self.max_bytes)
        self.cache = ReplyCache(settings, CollectorRegistry(), lambda: self.now)

    async def get(self, key: tuple[str, bytes] = KEY) -> tuple[CachedReply, float | None]:
        return await self.cache.get(key, MAX_AGE, self._fetch)

    async def _fetch(self) -> tuple[bytes, Mapping[str, str]]:
        self.fetches.append(asyncio.get_running_loop().create_future())
        return await self.fetches[-1]

    async def started(self, key: tuple[str, bytes] = KEY) -> "asyncio.Task[tuple[CachedReply, float | None]]":
        """A request that has begun to wait, or has its reply."""
        task = asyncio.create_task(self.get(key))
        await asyncio.sleep(0)
        return task

    async def stored(self, body: bytes = b"{}", key: tuple[str, bytes] = KEY) -> None:
        """Fetches and keeps a reply."""
        task = await self.started(key)
        self.fetches[-1].set_result((body, {headers.VERSION: "1"}))
        await task


@pytest.fixture
def scenario() -> CacheScenario:
    return CacheScenario()


async def test_a_reply_is_used_again_until_its_max_age(scenario: CacheScenario) -> None:
    await scenario.stored(b"old")
    scenario.now += MAX_AGE - 0.01
    reply, age = await scenario.get()
    assert (reply.body, age) == (b"old", pytest.approx(MAX_AGE - 0.01))
    scenario.now += 0.01
    await scenario.stored(b"new")
    assert (await scenario.get())[0].body == b"new"
    assert len(scenario.fetches) == 2


async def test_the_age_counts_from_the_request(scenario: CacheScenario) -> None:
    task = await scenario.started()
    scenario.now += MAX_AGE
    scenario.fetches[0].set_result((b"late", {}))
    assert (await task)[0].body == b"late"
    await scenario.started()
    assert len(scenario.fetches) == 2, "a reply that took as long as its max-age is not used again"


async def test_an_old_reply_is_used_for_a_moment_while_one_request_fetches(scenario: CacheScenario) -> None:
    await scenario.stored(b"old")
    scenario.now += MAX_AGE
    fetching = await scenario.started()
    scenario.now += STALE_SECONDS - 0.01
    reply, age = await scenario.get()
    assert (reply.body, age) == (b"old", pytest.approx(MAX_AGE + STALE_SECONDS - 0.01))
    scenario.fetches[1].set_result((b"new", {}))
    assert (await fetching)[0].body == b"new"
    assert (await scenario.get())[0].body == b"new"


async def test_a_reply_that_is_too_old_is_waited_for(scenario: CacheScenario) -> None:
    await scenario.stored(b"old")
    scenario.now += MAX_AGE + STALE_SECONDS
    several = [await scenario.started() for _ in range(20)]
    assert len(scenario.fetches) == 2
    scenario.fetches[1].set_result((b"new", {}))
    assert {(await one)[0].body for one in several} == {b"new"}


async def test_a_slow_fetch_is_not_joined(scenario: CacheScenario) -> None:
    slow = await scenario.started()
    scenario.now += JOIN_SECONDS
    second = await scenario.started()
    assert len(scenario.fetches) == 2, "the second one asks again, perhaps another process"
    scenario.fetches[1].set_result((b"new", {}))
    assert (await second)[0].body == b"new"
    scenario.fetches[0].set_result((b"old", {}))
    assert (await slow)[0].body == b"old"
    assert (await scenario.get())[0].body == b"new", "the slow one does not replace what was requested after it"


@pytest.mark.parametrize("fail", [NotFound(), TimedOut()], ids=["replied", "raised"])
async def test_a_failure_is_shared_with_those_who_wait_and_not_kept(scenario: CacheScenario, fail: Fail) -> None:
    several = [await scenario.started() for _ in range(3)]
    if isinstance(fail, NotFound):
        reply_headers = {headers.ERROR: fail.code, headers.ERROR_CODE: str(int(fail.status))}
        scenario.fetches[0].set_result((fail.to_json(), reply_headers))
        first, *joined = await asyncio.gather(*several, return_exceptions=True)
        assert isinstance(first, tuple)
        assert first[0].is_error
    else:
        scenario.fetches[0].set_exception(fail)
        joined = await asyncio.gather(*several, return_exceptions=True)
    assert {type(one) for one in joined} == {type(fail)}
    await scenario.stored(b"new")
    assert (await scenario.get())[0].body == b"new"


async def test_a_cancelled_request_leaves_no_other_waiting(scenario: CacheScenario) -> None:
    first, second = await scenario.started(), await scenario.started()
    first.cancel()
    assert (await asyncio.gather(second, return_exceptions=True))[0].code == "unavailable"  # type: ignore[union-attr]
    await scenario.stored()


async def test_the_cache_has_a_limited_size() -> None:
    scenario = CacheScenario(max_bytes=20 * ENTRY_BYTES)
    for number in range(30):
        await scenario.stored(key=("rpc", b"%d" % number))
    await scenario.stored(b"x" * 3 * ENTRY_BYTES, ("rpc", b"large"))
    assert scenario.cache.size_bytes <= 20 * ENTRY_BYTES
    before = len(scenario.fetches)
    await scenario.get(("rpc", b"29"))
    assert len(scenario.fetches) == before
    for key in (b"0", b"large"):
        await scenario.started(("rpc", key))
    assert len(scenario.fetches) == before + 2, "the oldest were dropped, and one that is too large is not kept"


async def test_replies_that_are_too_old_for_any_request_are_dropped(scenario: CacheScenario) -> None:
    for number in range(30):
        await scenario.stored(key=("rpc", b"%d" % number))
    scenario.now += MAX_AGE + STALE_SECONDS
    await scenario.stored()
    assert scenario.cache.size_bytes < 2 * ENTRY_BYTES


async def test_a_reply_with_a_price_that_changes_by_time_is_not_used_after_that(scenario: CacheScenario) -> None:
    task = await scenario.started()
    scenario.fetches[0].set_result((b"old", {headers.VALID_SECONDS: "0.3"}))
    await task
    scenario.now += 0.29
    assert (await scenario.get())[0].body == b"old"
    scenario.now += 0.02
    fetching, waiting = await scenario.started(), await scenario.started()
    scenario.fetches[1].set_result((b"new", {}))
    assert [(await task)[0].body for task in (fetching, waiting)] == [b"new", b"new"]
