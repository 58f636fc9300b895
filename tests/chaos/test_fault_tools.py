"""The fault tools by themselves: a clock that jumps, a disk that is full, a shared crash."""

import asyncio
import errno
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.crashes_in_any_process import SharedCrashOrder
from tests.chaos.process_clock import ProcessClock
from tests.chaos.small_disk import file_size_limit, small_disk, unavailable_reason
from tests.support.eventually import eventually

ASKED = """
import asyncio, sys, time, datetime, uvloop

async def main():
    while line := await asyncio.to_thread(sys.stdin.readline):
        begun = time.monotonic()
        await asyncio.sleep(0.05)
        slept = time.monotonic() - begun
        print(time.time(), datetime.datetime.now().timestamp(), slept, flush=True)

uvloop.run(main())
"""
GROWING = "import sys; sys.stdin.readline(); open(sys.argv[1], 'wb').write(bytes(100_000))"


@pytest.fixture
async def clock(tmp_path: Path) -> ProcessClock:
    return ProcessClock(tmp_path / "clock")


@pytest.fixture
async def arguments(clock: ProcessClock) -> AsyncIterator[Process]:
    environment = {**os.environ, **clock.environment()}
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", ASKED, stdin=PIPE, stdout=PIPE, env=environment)
    yield child
    child.kill()
    await child.communicate()


async def output(process: Process) -> tuple[float, float, float]:
    """The offsets of the process's two wall clocks, and how long its sleep of 50 ms took."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"?\n")
    wall, date, slept = map(float, (await process.stdout.readline()).split())
    return wall - time.time(), date - time.time(), slept


async def test_the_clock_of_a_running_process_jumps(clock: ProcessClock, arguments: Process) -> None:
    for seconds in (0, 120, -120, 0):
        clock.set_offset(seconds)
        wall, date, slept = await output(arguments)
        assert abs(wall - seconds) < 1
        assert abs(date - seconds) < 1
        assert 0.05 <= slept < 1, "the monotonic clock goes on as it did"


@pytest.mark.skipif(bool(unavailable_reason()), reason=f"no disk of its own: {unavailable_reason()}")
async def test_a_disk_fills_and_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    async with small_disk(folder, 16) as disk:
        (folder / "kept").write_bytes(b"kept")
        disk.fill()
        with pytest.raises(OSError, match="No space left") as caught:
            (folder / "more").write_bytes(bytes(100_000))
        assert caught.value.errno == errno.ENOSPC
        disk.free()
        (folder / "more").write_bytes(bytes(100_000))
        assert (folder / "kept").read_bytes() == b"kept"
    assert not os.path.ismount(folder)
    assert not folder.with_name("store.img").exists()


async def test_files_of_a_limited_process_stop_growing(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", GROWING, str(tmp_path / "file"), stdin=PIPE, stderr=PIPE
    )
    await eventually(lambda: psutil.Process(child.pid).name().startswith("python"))
    with file_size_limit(child.pid, 10_000):
        _, words = await child.communicate(b"go\n")
    assert b"File too large" in words
    assert (tmp_path / "file").stat().st_size == 10_000


async def test_a_shared_crash_is_triggered_once(tmp_path: Path) -> None:
    async with SharedCrashOrder(tmp_path / "cart.order_applied") as crash:
        assert not crash.is_triggered
        crash.order.unlink()
        assert crash.is_triggered
