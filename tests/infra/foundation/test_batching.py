"""Batching of lookups: concurrent ones share a fetch, and each caller waits on its own."""

import asyncio
from collections.abc import Collection, Mapping

import pytest

from infra.foundation.batching import BatchLoader


class Source:
    """Fetches upper-case names once the gate is open, and records each fetch."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.fetched: list[set[str]] = []
        self.loader = BatchLoader[str, str](self.fetch, max_batch_size=3, max_concurrent=1)

    async def fetch(self, names: Collection[str]) -> Mapping[str, str]:
        self.fetched.append(set(names))
        await self.gate.wait()
        if "bad" in names:
            raise LookupError
        return {name: name.upper() for name in names if name != "absent"}


async def start(source: Source, *names: str) -> list["asyncio.Task[str | None]"]:
    tasks = [asyncio.create_task(source.loader.load(name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_waiting_lookups_share_a_fetch() -> None:
    source = Source()
    first = await start(source, "a")
    await asyncio.sleep(0)
    others = await start(source, "b", "c", "c", "absent", "d")
    source.gate.set()
    assert await asyncio.gather(*first, *others) == ["A", "B", "C", "C", None, "D"]
    assert source.fetched == [{"a"}, {"b", "c", "absent"}, {"d"}]


async def test_a_caller_that_gives_up_ends_no_other_wait() -> None:
    source = Source()
    gone, stays = await start(source, "a", "b")
    gone.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert await stays == "B"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_failed_fetch_fails_for_each_caller_and_no_later_one() -> None:
    source = Source()
    failing = await start(source, "bad", "a")
    source.gate.set()
    results = await asyncio.gather(*failing, return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, LookupError]
    assert await source.loader.load("a") == "A"


async def test_no_keys_need_no_fetch() -> None:
    source = Source()
    assert await source.loader.load_many(set()) == {}
    assert not source.fetched
