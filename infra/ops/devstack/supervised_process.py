"""One supervised process: it is started, awaited until it is ready, restarted when it dies, and stopped by its pid."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process as Child
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import psutil

from infra.foundation.background import end_tasks
from infra.ops.devstack.child_environment import server_environment
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.log_rotation import append_note, is_too_long, rotate, tail
from infra.ops.devstack.private_files import create_private_file
from infra.ops.devstack.state_file import wait_until_gone

POLL_SECONDS = 0.05
FIRST_RESTART_DELAY_SECONDS = 0.1
MAX_RESTART_DELAY_SECONDS = 5.0
STABLE_AFTER_SECONDS = 3.0
"""A process that served at least this long restarts without a longer delay: its death is no part of a crash loop."""

HEALTH_CHECK_INTERVAL_SECONDS = 5.0
MAX_HEALTH_CHECK_SECONDS = 2.5
"""A little more than a probe's timeout. A check that took longer was delayed by the supervisor and is ignored."""
ORPHAN_TIMEOUT_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 1.0
EXEC_CHILD = Path(__file__).with_name("exec_child.py")


class ProcessStatus(StrEnum):
    """The states of a supervised process."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class OsUser:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how to find out whether it serves.

    A process that was not healthy for `unhealthy_seconds` is killed and restarted, whether it was ready before or not.
    `find_orphans` finds processes that survive a kill outside its process group. While it dies again soon after each
    start, the delay before a restart grows up to `max_restart_delay_seconds`.
    """

    name: str
    argv: Sequence[str]
    is_ready: Callable[[], Awaitable[bool]]
    log: Path
    address: str = ""
    origin: str = ""
    env: Mapping[str, str] = field(default_factory=server_environment)
    cwd: Path | None = None
    user: OsUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    ready_timeout_seconds: float = 30.0
    is_healthy: Callable[[], Awaitable[bool]] | None = None
    unhealthy_seconds: float = 60.0
    max_restart_delay_seconds: float = MAX_RESTART_DELAY_SECONDS
    find_orphans: Callable[[], Iterable[psutil.Process]] = tuple


class SupervisedProcess:
    """Keeps a program running until `stop`."""

    def __init__(self, program: Program, on_change: Callable[[], None]) -> None:
        self.program = program
        self.state = ProcessStatus.WAITING
        self.restarts = 0
        self.since = time.time()
        self.create_time = 0.0
        self._on_change = on_change
        self._child: Child | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._log_start = 0
        self._is_ready = asyncio.Event()

    @property
    def name(self) -> str:
        """The name of the program."""
        return self.program.name

    @property
    def pid(self) -> int | None:
        """The pid, or None while the process does not run."""
        return self._child.pid if self._child and self._child.returncode is None else None

    async def start(self) -> None:
        """Starts the program and waits until it serves. Raises a `StackError` with the end of its log if it fails.

        If it is supervised already, this only waits: a second process would find its port in use.
        """
        if self._supervisor and not self._supervisor.done():
            await self.wait_until_ready()
            return
        self._set_state(ProcessStatus.STARTING)
        try:
            await self._spawn()
            self._require_started(await self._wait_until_serving())
        except BaseException as error:
            await self._terminate(self.program.stop_signal, self.program.stop_timeout_seconds)
            self._set_state(ProcessStatus.FAILED if isinstance(error, Exception) else ProcessStatus.STOPPED)
            raise
        self._set_state(ProcessStatus.READY)
        self._supervisor = asyncio.create_task(self._supervise(), name=f"keep {self.name}")

    async def stop(self, stop_signal: signal.Signals | None = None) -> None:
        """Stops the program until the next `start`, with its own stop signal unless another is given."""
        if self._supervisor:
            await end_tasks([self._supervisor], cancel_again_seconds=CANCEL_AGAIN_SECONDS)
            self._supervisor = None
        if self.pid:
            self._set_state(ProcessStatus.STOPPING)
            await self._terminate(stop_signal or self.program.stop_signal, self.program.stop_timeout_seconds)
            await asyncio.to_thread(self._end_orphans)
        if self.state not in {ProcessStatus.FAILED, ProcessStatus.WAITING}:
            self._set_state(ProcessStatus.STOPPED)

    async def restart(self) -> None:
        """Stops the process and starts it again."""
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """Sends SIGKILL, like a crash: the supervisor notices and restarts the program."""
        self._set_state(ProcessStatus.RESTARTING)
        self.send_signal(signal.SIGKILL)

    def send_signal(self, which: signal.Signals) -> None:
        """Sends a signal, if the process runs."""
        if self.pid:
            os.kill(self.pid, which)

    async def wait_until_ready(self) -> None:
        """Waits until the process is ready."""
        await self._is_ready.wait()

    def _set_state(self, state: ProcessStatus) -> None:
        if state is ProcessStatus.READY:
            self._is_ready.set()
        else:
            self._is_ready.clear()
        if state is not self.state:
            self.state, self.since = state, time.time()
            self._on_change()

    async def _spawn(self) -> None:
        program = self.program
        rotate(program.log)
        create_private_file(program.log)
        with program.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = await asyncio.create_subprocess_exec(
                *launch_prefix(program.stop_signal, program.user),
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=program.env,
                cwd=program.cwd,
                start_new_session=True,
            )
        with suppress(psutil.Error):
            self.create_time = psutil.Process(self._child.pid).create_time()
        self._on_change()

    async def _wait_until_serving(self) -> bool:
        """Polls until the process is ready. Returns false when it died, stayed unhealthy or took too long."""
        program, started = self.program, time.monotonic()
        healthy_at = started
        while self.pid and time.monotonic() < min(
            started + program.ready_timeout_seconds, healthy_at + program.unhealthy_seconds
        ):
            if await program.is_ready():
                return self.pid is not None
            if program.is_healthy is None or await program.is_healthy():
                healthy_at = time.monotonic()
            await asyncio.sleep(POLL_SECONDS)
        return False

    def _require_started(self, is_serving: bool) -> None:  # noqa: FBT001 - the result of `_wait_until_serving`
        if is_serving:
            return
        child, program = self._child, self.program
        code = child.returncode if child else None
        seconds = time.time() - self.since
        reason = (
            f"it ended with {_describe_exit(code)}" if code is not None else f"it was not ready after {seconds:.0f} s"
        )
        lines = tail(program.log, self._log_start)
        raise StackError(f"{program.name} did not start: {reason}. Read the whole log in {program.log}.", lines)

    async def _supervise(self) -> None:
        """Waits for the process to die and restarts it. The delay grows while it dies again soon."""
        delay = FIRST_RESTART_DELAY_SECONDS
        while True:
            serving_since = time.monotonic()
            await self._wait_for_death()
            await asyncio.to_thread(self._end_orphans)
            self.restarts += 1
            self._set_state(ProcessStatus.RESTARTING)
            delay = FIRST_RESTART_DELAY_SECONDS if time.monotonic() - serving_since > STABLE_AFTER_SECONDS else delay
            while not await self._try_restart(delay):
                delay = min(delay * 2, self.program.max_restart_delay_seconds)
            delay = min(delay * 2, self.program.max_restart_delay_seconds)
            self._set_state(ProcessStatus.READY)

    async def _try_restart(self, delay: float) -> bool:
        await asyncio.sleep(delay)
        try:
            await self._spawn()
            if await self._wait_until_serving():
                return True
        except OSError:  # no disk space or memory: the next attempt may succeed
            return False
        await self._terminate(signal.SIGKILL)
        await asyncio.to_thread(self._end_orphans)
        return False

    async def _wait_for_death(self) -> None:
        """Returns when the process is dead. Rotates its log, and kills it when it was unhealthy for too long."""
        assert self._child is not None
        program, unhealthy = self.program, 0.0
        death = asyncio.ensure_future(self._child.wait())
        try:
            while not (await asyncio.wait({death}, timeout=HEALTH_CHECK_INTERVAL_SECONDS))[0]:
                if is_too_long(program.log) and await asyncio.to_thread(rotate, program.log):
                    self._log_start = 0
                unhealthy = await self._unhealthy_time(unhealthy)
                if unhealthy >= program.unhealthy_seconds:
                    append_note(program.log, f"{program.name} was unhealthy for {unhealthy:.0f} s and is restarted")
                    self.kill()
        finally:
            death.cancel()

    async def _unhealthy_time(self, unhealthy: float) -> float:
        """Returns for how long the process has been unhealthy. A check that the supervisor delayed is ignored."""
        check_started = time.monotonic()
        if self.program.is_healthy is None or await self.program.is_healthy():
            return 0.0
        return (
            unhealthy
            if time.monotonic() - check_started > MAX_HEALTH_CHECK_SECONDS
            else unhealthy + HEALTH_CHECK_INTERVAL_SECONDS
        )

    def _end_orphans(self) -> None:
        """Kills what a killed process leaves running: Nginx's workers, for example, would keep the port."""
        assert self._child is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        left = list(self.program.find_orphans())
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        wait_until_gone(left, ORPHAN_TIMEOUT_SECONDS)

    async def _terminate(self, stop_signal: signal.Signals, timeout_seconds: float | None = None) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            child.send_signal(stop_signal)
            child.send_signal(signal.SIGCONT)  # a paused process handles no other signal
        with suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), timeout_seconds)
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def launch_prefix(death_signal: signal.Signals, user: OsUser | None = None) -> Sequence[str]:
    """Returns the words before a command that make it die with this process and run as another user."""
    owner = f"{user.uid}:{user.gid}" if user else "-"
    return (sys.executable, "-I", "-S", str(EXEC_CHILD), str(os.getpid()), str(int(death_signal)), owner)


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
