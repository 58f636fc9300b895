import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.ops.devstack import log_rotation as log_module
from infra.ops.devstack import supervised_process as process_module
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.state_file import until_gone
from infra.ops.devstack.supervised_process import Process, Program, State, launched
from tests.support.eventually import eventually

SERVING = "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); print('serving', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVING
CHATTING = (
    "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch()\n"
    "while True: print('a word and another', flush=True); time.sleep(0.001)"
)
DYING = "import sys; print('no room at the inn'); sys.exit(3)"
# One that leaves a child behind when it is killed, as Nginx does.
PARENT = "import subprocess, sys; print('child', subprocess.Popen(['sleep', '60']).pid, flush=True)\n" + SERVING


class Kept:
    """Makes processes that are ready once they have touched a file, and ends them after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Process] = []

    def __call__(self, code: str, *, changed: Callable[[], None] = lambda: None, stop_within: float = 5) -> Process:
        mark = self.folder / "mark"

        async def ready() -> bool:
            return mark.exists()

        program = Program(
            name="thing",
            argv=(sys.executable, "-c", code, str(mark)),
            ready=ready,
            log=self.folder / "thing.log",
            stop_within=stop_within,
            ready_within=10,
        )
        self.made.append(Process(program, changed))
        return self.made[-1]


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    maker = Kept(tmp_path)
    yield maker
    for process in maker.made:
        await process.stop(signal.SIGKILL)


async def test_it_starts_and_stops(kept: Kept) -> None:
    seen: list[State] = []
    process = kept(SERVING, changed=lambda: seen.append(process.state))
    await process.start()
    pid = process.pid
    assert pid
    assert process.state is State.READY
    await process.stop()
    assert not psutil.pid_exists(pid)
    assert process.pid is None
    assert list(dict.fromkeys(seen)) == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]


async def test_one_that_is_kept_running_is_not_started_twice(kept: Kept) -> None:
    process = kept(SERVING)
    await process.start()
    pid = process.pid
    await process.start()
    assert (process.pid, process.restarts) == (pid, 0)


async def test_one_that_dies_at_start_is_told_with_its_last_lines(kept: Kept) -> None:
    (kept.folder / "thing.log").write_text("of an earlier run\n")
    process = kept(DYING)
    with pytest.raises(StackError, match="thing did not start: it ended with code 3") as caught:
        await process.start()
    assert caught.value.lines == ("no room at the inn",)
    assert process.state is State.FAILED
    assert process.restarts == 0


async def test_one_that_is_killed_comes_back_with_its_count(kept: Kept) -> None:
    process = kept(SERVING)
    await process.start()
    first = process.pid
    process.kill()
    assert process.state is State.RESTARTING
    await asyncio.wait_for(process.until_ready(), 10)
    assert process.pid not in {None, first}
    assert process.restarts == 1


async def test_what_a_killed_one_left_behind_is_ended(kept: Kept) -> None:
    process = kept(PARENT)
    await process.start()
    orphan = psutil.Process(int((kept.folder / "thing.log").read_text().split()[1]))
    process.kill()
    await asyncio.wait_for(process.until_ready(), 10)
    assert not until_gone([orphan], 5)


async def test_one_that_was_stopped_stays_down_until_it_is_started(kept: Kept) -> None:
    process = kept(SERVING)
    await process.start()
    await process.stop(signal.SIGKILL)
    assert (process.state, process.pid) == (State.STOPPED, None)
    await process.start()
    assert process.pid


async def test_a_deaf_one_is_killed_at_the_end_of_patience(kept: Kept) -> None:
    process = kept(DEAF, stop_within=0.2)
    await process.start()
    await process.stop()
    assert process.state is State.STOPPED


async def test_a_paused_one_can_be_stopped(kept: Kept) -> None:
    process = kept(SERVING, stop_within=5)
    await process.start()
    process.send(signal.SIGSTOP)
    await process.stop()
    assert process.state is State.STOPPED


async def test_a_restart_is_another_process(kept: Kept) -> None:
    process = kept(SERVING)
    await process.start()
    first = process.pid
    await process.restart()
    assert process.pid != first
    assert process.restarts == 0


async def test_it_dies_with_its_parent() -> None:
    code = (
        "import subprocess, sys; from infra.ops.devstack.supervised_process import launched; import signal\n"
        "print(subprocess.Popen([*launched(signal.SIGTERM), 'sleep', '60']).pid, flush=True); signal.pause()"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.communicate()
    assert not await asyncio.to_thread(until_gone, [child], 5)


async def test_an_orphan_does_not_even_start() -> None:
    interpreter, *flags, launcher, _, death, owner = launched(signal.SIGTERM)
    command = [interpreter, *flags, launcher, "1" if os.getpid() != 1 else "2", death, owner, "true"]
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 1


async def test_one_that_lives_on_without_doing_its_work_is_started_anew(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "CHECK_EVERY", 0.05)
    process = kept(SERVING)

    async def well() -> bool:
        return process.restarts > 0 or process.state is not State.READY

    process.program = replace(process.program, well=well, unwell_for=0.1)
    await process.start()
    await eventually(lambda: process.restarts == 1 and process.state is State.READY)
    assert "thing has not been well for 0 s, and is started anew" in process.program.log.read_text()


async def test_one_that_will_never_do_its_work_is_not_waited_for(kept: Kept) -> None:
    process = kept("import signal; print('out of resources', flush=True); signal.pause()")

    async def well() -> bool:
        return "out of resources" not in process.program.log.read_text()

    process.program = replace(process.program, well=well, unwell_for=0.1, ready_within=1000)
    with pytest.raises(StackError, match="not ready after 0 s") as refused:
        await process.start()
    assert refused.value.lines == ("out of resources",)


async def test_one_that_could_not_be_asked_in_time_is_left_alone(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches stood still: what was not answered meanwhile was not read."""
    monkeypatch.setattr(process_module, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(process_module, "LONGEST_CHECK", 0.0)
    process, silent = kept(SERVING), list[float]()

    async def well() -> bool:
        if process.state is State.READY:
            silent.append(time.monotonic())
        return not silent

    process.program = replace(process.program, well=well, unwell_for=0.5)
    await process.start()
    await eventually(lambda: len(silent) > 40)
    assert process.restarts == 0


async def test_bad_luck_in_a_row_is_no_crash_loop(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "STEADY_AFTER", 0.0)
    process = kept(SERVING)
    await process.start()
    for _ in range(6):  # with a pause that doubled each time these would take six seconds
        process.kill()
        await asyncio.wait_for(process.until_ready(), 2)


async def test_the_log_of_a_running_process_stays_short(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(log_module, "LONGEST", 10_000)
    process = kept(CHATTING)
    await process.start()
    log = process.program.log
    await eventually(lambda: log.with_suffix(".log.1").exists())
    copy = log.with_suffix(".log.1")
    await eventually(lambda: copy.stat().st_size + log.stat().st_size > 0 and log.stat().st_size < 10_000)
    assert not log.read_bytes().startswith(b"\0"), "it writes at the end of what is there"
