"""Supervision of one process: start, restart, health, logs and stop."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra.ops.devstack import log_rotation as log_module
from infra.ops.devstack import supervised_process as process_module
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.state_file import wait_until_gone
from infra.ops.devstack.supervised_process import ProcessStatus, Program, SupervisedProcess, launch_prefix
from tests.support.eventually import eventually

SERVING_CODE = (
    "import pathlib, signal, sys; pathlib.Path(sys.argv[1]).touch(); print('serving', flush=True); signal.pause()"
)
IGNORES_SIGTERM_CODE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVING_CODE
CHATTY_CODE = (
    "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch()\n"
    "while True: print('a word and another', flush=True); time.sleep(0.001)"
)
DYING_CODE = "import sys; print('no room at the inn'); sys.exit(3)"
# One that leaves a child behind when it is killed, as Nginx does.
FORKING_CODE = (
    "import subprocess, sys; print('child', subprocess.Popen(['sleep', '60']).pid, flush=True)\n" + SERVING_CODE
)


class ProcessFactory:
    """Creates processes that are ready once they have touched a file, and stops them after the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[SupervisedProcess] = []

    def __call__(
        self, code: str, *, changed: Callable[[], None] = lambda: None, stop_within: float = 5
    ) -> SupervisedProcess:
        mark = self.folder / "mark"

        async def ready() -> bool:
            return mark.exists()

        program = Program(
            name="thing",
            argv=(sys.executable, "-c", code, str(mark)),
            is_ready=ready,
            log=self.folder / "thing.log",
            stop_timeout_seconds=stop_within,
            ready_timeout_seconds=10,
        )
        self.made.append(SupervisedProcess(program, changed))
        return self.made[-1]


@pytest.fixture
async def new_process(tmp_path: Path) -> AsyncIterator[ProcessFactory]:
    maker = ProcessFactory(tmp_path)
    yield maker
    for process in maker.made:
        await process.stop(signal.SIGKILL)


async def test_a_process_starts_and_stops(new_process: ProcessFactory) -> None:
    seen: list[ProcessStatus] = []
    process = new_process(SERVING_CODE, changed=lambda: seen.append(process.state))
    await process.start()
    pid = process.pid
    assert pid
    assert process.state is ProcessStatus.READY
    await process.stop()
    assert not psutil.pid_exists(pid)
    assert process.pid is None
    assert list(dict.fromkeys(seen)) == [
        ProcessStatus.STARTING,
        ProcessStatus.READY,
        ProcessStatus.STOPPING,
        ProcessStatus.STOPPED,
    ]


async def test_a_running_process_is_not_started_twice(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE)
    await process.start()
    pid = process.pid
    await process.start()
    assert (process.pid, process.restarts) == (pid, 0)


async def test_a_process_that_dies_at_start_shows_its_log(new_process: ProcessFactory) -> None:
    (new_process.folder / "thing.log").write_text("of an earlier run\n")
    process = new_process(DYING_CODE)
    with pytest.raises(StackError, match="thing did not start: it ended with code 3") as caught:
        await process.start()
    assert caught.value.details == ("no room at the inn",)
    assert process.state is ProcessStatus.FAILED
    assert process.restarts == 0


async def test_a_killed_process_is_restarted_and_counted(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE)
    await process.start()
    first = process.pid
    process.kill()
    assert process.state is ProcessStatus.RESTARTING
    await asyncio.wait_for(process.wait_until_ready(), 10)
    assert process.pid not in {None, first}
    assert process.restarts == 1


async def test_orphans_of_a_killed_process_are_killed(new_process: ProcessFactory) -> None:
    process = new_process(FORKING_CODE)
    await process.start()
    orphan = psutil.Process(int((new_process.folder / "thing.log").read_text().split()[1]))
    process.kill()
    await asyncio.wait_for(process.wait_until_ready(), 10)
    assert not wait_until_gone([orphan], 5)


async def test_a_stopped_process_stays_down(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE)
    await process.start()
    await process.stop(signal.SIGKILL)
    assert (process.state, process.pid) == (ProcessStatus.STOPPED, None)
    await process.start()
    assert process.pid


async def test_a_process_that_ignores_sigterm_is_killed(new_process: ProcessFactory) -> None:
    process = new_process(IGNORES_SIGTERM_CODE, stop_within=0.2)
    await process.start()
    await process.stop()
    assert process.state is ProcessStatus.STOPPED


async def test_a_paused_process_can_be_stopped(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE, stop_within=5)
    await process.start()
    process.send_signal(signal.SIGSTOP)
    await process.stop()
    assert process.state is ProcessStatus.STOPPED


async def test_a_restart_is_a_new_process(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE)
    await process.start()
    first = process.pid
    await process.restart()
    assert process.pid != first
    assert process.restarts == 0


async def test_a_child_dies_with_its_parent() -> None:
    code = (
        "import subprocess, sys; from infra.ops.devstack.supervised_process import launch_prefix; import signal\n"
        "print(subprocess.Popen([*launch_prefix(signal.SIGTERM), 'sleep', '60']).pid, flush=True); signal.pause()"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = psutil.Process(int(await parent.stdout.readline()))
    parent.kill()
    await parent.communicate()
    assert not await asyncio.to_thread(wait_until_gone, [child], 5)


async def test_a_child_of_a_dead_parent_does_not_start() -> None:
    interpreter, *flags, launcher, _, death, owner = launch_prefix(signal.SIGTERM)
    command = [interpreter, *flags, launcher, "1" if os.getpid() != 1 else "2", death, owner, "true"]
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 1


async def test_an_unhealthy_process_is_restarted(new_process: ProcessFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "HEALTH_CHECK_INTERVAL_SECONDS", 0.05)
    process = new_process(SERVING_CODE)

    async def is_healthy() -> bool:
        return process.restarts > 0 or process.state is not ProcessStatus.READY

    process.program = replace(process.program, is_healthy=is_healthy, unhealthy_seconds=0.1)
    await process.start()
    await eventually(lambda: process.restarts == 1 and process.state is ProcessStatus.READY)
    assert "thing was unhealthy for 0 s and is restarted" in process.program.log.read_text()


async def test_an_unhealthy_start_fails_early(new_process: ProcessFactory) -> None:
    process = new_process("import signal; print('out of resources', flush=True); signal.pause()")

    async def is_healthy() -> bool:
        return "out of resources" not in process.program.log.read_text()

    process.program = replace(process.program, is_healthy=is_healthy, unhealthy_seconds=0.1, ready_timeout_seconds=1000)
    with pytest.raises(StackError, match="was not ready after 0 s") as refused:
        await process.start()
    assert refused.value.details == ("out of resources",)


async def test_a_delayed_health_check_is_ignored(new_process: ProcessFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor itself was delayed, so it says nothing about the process."""
    monkeypatch.setattr(process_module, "HEALTH_CHECK_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(process_module, "MAX_HEALTH_CHECK_SECONDS", 0.0)
    process, silent = new_process(SERVING_CODE), list[float]()

    async def is_healthy() -> bool:
        if process.state is ProcessStatus.READY:
            silent.append(time.monotonic())
        return not silent

    process.program = replace(process.program, is_healthy=is_healthy, unhealthy_seconds=0.5)
    await process.start()
    await eventually(lambda: len(silent) > 40)
    assert process.restarts == 0


async def test_repeated_kills_of_a_stable_process_are_no_crash_loop(
    new_process: ProcessFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STABLE_AFTER_SECONDS", 0.0)
    process = new_process(SERVING_CODE)
    await process.start()
    for _ in range(6):  # with a pause that doubled each time these would take six seconds
        process.kill()
        await asyncio.wait_for(process.wait_until_ready(), 2)


async def test_a_test_that_kills_a_process_can_limit_the_restart_delay(new_process: ProcessFactory) -> None:
    process = new_process(SERVING_CODE)
    process.program = replace(process.program, max_restart_delay_seconds=0.1)
    await process.start()
    for _ in range(6):  # they die at once, so each delay would be twice the one before
        process.kill()
        await asyncio.wait_for(process.wait_until_ready(), 2)


async def test_stop_ends_a_supervisor_that_loses_a_cancellation(
    new_process: ProcessFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe may drop it, as `asyncio.wait_for` does; the supervisor would then watch the process for ever."""
    monkeypatch.setattr(process_module, "CANCEL_AGAIN_SECONDS", 0.01)
    process, probing = new_process(SERVING_CODE), asyncio.Event()
    await process.start()

    async def ready() -> bool:
        probing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    process.program = replace(process.program, is_ready=ready)
    process.kill()
    await probing.wait()
    stopping = asyncio.create_task(process.stop())
    assert (await asyncio.wait([stopping], timeout=5))[0]
    assert process.pid is None


async def test_the_log_of_a_running_process_is_rotated(
    new_process: ProcessFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "HEALTH_CHECK_INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(log_module, "MAX_LOG_BYTES", 10_000)
    process = new_process(CHATTY_CODE)
    await process.start()
    log = process.program.log
    await eventually(lambda: log.with_suffix(".log.1").exists())
    copy = log.with_suffix(".log.1")
    await eventually(lambda: copy.stat().st_size + log.stat().st_size > 0 and log.stat().st_size < 10_000)
    assert not log.read_bytes().startswith(b"\0"), "it writes at the end of what is there"
