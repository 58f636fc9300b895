"""One supervised process: started, awaited until it is ready, restarted when it dies, stopped by its pid."""

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

from infra.ops.devstack.errors import StackError
from infra.ops.devstack.log_rotation import note, shorten, tail
from infra.ops.devstack.state_file import until_gone

POLL = 0.02
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
STEADY_AFTER = 3.0
"""Seconds that it must have served for its death to be bad luck, and not one more round of a crash loop."""

CHECK_EVERY = 2.0
LONGEST_CHECK = 2.5
"""Seconds that a check takes, and some more than a probe waits for: one that took longer says nothing."""
ORPHANS_PATIENCE = 5.0
LAUNCHER = Path(__file__).with_name("exec_child.py")


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how to know that it serves.

    When `well` has said no, or nothing, for `unwell_for` seconds, the process is killed and started anew: one that was
    ready, and one that would never be. `left_behind` finds what outlives a killed one besides its process group.
    """

    name: str
    argv: Sequence[str]
    ready: Callable[[], Awaitable[bool]]
    log: Path
    address: str = ""
    origin: str = ""
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None
    user: User | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    ready_within: float = 30.0
    well: Callable[[], Awaitable[bool]] | None = None
    unwell_for: float = 60.0
    left_behind: Callable[[], Iterable[psutil.Process]] = tuple


class Process:
    """A program that is kept running until it is told to stop."""

    def __init__(self, program: Program, changed: Callable[[], None]) -> None:
        self.program = program
        self.state = State.WAITING
        self.restarts = 0
        self.since = time.time()
        self.created = 0.0
        self._changed = changed
        self._child: Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._log_start = 0
        self._is_ready = asyncio.Event()

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child and self._child.returncode is None else None

    async def start(self) -> None:
        """Returns when it serves; raises a `StackError` with its last words if it dies or takes too long.

        One that is kept running already is only waited for: a second one would find its place taken.
        """
        if self._keeper and not self._keeper.done():
            await self.until_ready()
            return
        self._enter(State.STARTING)
        try:
            await self._spawn()
            self._require(await self._serves())
        except BaseException as error:
            await self._end(self.program.stop_signal, self.program.stop_within)
            self._enter(State.FAILED if isinstance(error, Exception) else State.STOPPED)
            raise
        self._enter(State.READY)
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self, how: signal.Signals | None = None) -> None:
        """Ends it for good, by its own stop signal unless told `how`; `start` brings it back."""
        if self._keeper:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self.pid:
            self._enter(State.STOPPING)
            await self._end(how or self.program.stop_signal, self.program.stop_within)
            await asyncio.to_thread(self._end_orphans)
        if self.state not in {State.FAILED, State.WAITING}:
            self._enter(State.STOPPED)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def kill(self) -> None:
        """SIGKILL, as bad luck does it: the stack will notice, and start it anew."""
        self._enter(State.RESTARTING)
        self.send(signal.SIGKILL)

    def send(self, which: signal.Signals) -> None:
        if self.pid:
            os.kill(self.pid, which)

    async def until_ready(self) -> None:
        await self._is_ready.wait()

    def _enter(self, state: State) -> None:
        if state is State.READY:
            self._is_ready.set()
        else:
            self._is_ready.clear()
        if state is not self.state:
            self.state, self.since = state, time.time()
            self._changed()

    async def _spawn(self) -> None:
        program = self.program
        shorten(program.log)
        with program.log.open("ab") as log:
            self._log_start = log.tell()
            self._child = await asyncio.create_subprocess_exec(
                *launched(program.stop_signal, program.user),
                *program.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=program.env,
                cwd=program.cwd,
                start_new_session=True,
            )
        with suppress(psutil.Error):
            self.created = psutil.Process(self._child.pid).create_time()
        self._changed()

    async def _serves(self) -> bool:
        """Polls until it is ready; false when it died, is not well, or its time is over."""
        program, begun = self.program, time.monotonic()
        well_at = begun
        while self.pid and time.monotonic() < min(begun + program.ready_within, well_at + program.unwell_for):
            if await program.ready():
                return self.pid is not None
            if program.well is None or await program.well():
                well_at = time.monotonic()
            await asyncio.sleep(POLL)
        return False

    def _require(self, serves: bool) -> None:  # noqa: FBT001 - the answer of `_serves`
        if serves:
            return
        child, program = self._child, self.program
        code = child.returncode if child else None
        seconds = time.time() - self.since
        died = f"it ended with {_words(code)}" if code is not None else f"not ready after {seconds:.0f} s"
        lines = tail(program.log, self._log_start)
        raise StackError(f"{program.name} did not start: {died}. The whole log is in {program.log}.", lines)

    async def _keep(self) -> None:
        """Waits for its death, and starts it anew after a pause that grows while it does not stay."""
        delay = FIRST_DELAY
        while True:
            served = time.monotonic()
            await self._watch()
            await asyncio.to_thread(self._end_orphans)
            self.restarts += 1
            self._enter(State.RESTARTING)
            delay = FIRST_DELAY if time.monotonic() - served > STEADY_AFTER else delay
            while not await self._comes_back(delay):
                delay = min(delay * 2, LONGEST_DELAY)
            delay = min(delay * 2, LONGEST_DELAY)
            self._enter(State.READY)

    async def _comes_back(self, delay: float) -> bool:
        await asyncio.sleep(delay)
        try:
            await self._spawn()
            if await self._serves():
                return True
        except OSError:  # no room, no memory: perhaps the next time
            return False
        await self._end(signal.SIGKILL)
        await asyncio.to_thread(self._end_orphans)
        return False

    async def _watch(self) -> None:
        """Returns when it is dead, by itself or because it lived on without doing its work. Keeps its log short."""
        assert self._child is not None
        program, unwell = self.program, 0.0
        death = asyncio.ensure_future(self._child.wait())
        try:
            while not (await asyncio.wait({death}, timeout=CHECK_EVERY))[0]:
                if await asyncio.to_thread(shorten, program.log):
                    self._log_start = 0
                unwell = await self._still_unwell(unwell)
                if unwell >= program.unwell_for:
                    note(program.log, f"{program.name} has not been well for {unwell:.0f} s, and is started anew")
                    self.kill()
        finally:
            death.cancel()

    async def _still_unwell(self, unwell: float) -> float:
        """Seconds for which it has not been well. Where we stood still ourselves, its silence is not its fault."""
        asked = time.monotonic()
        if self.program.well is None or await self.program.well():
            return 0.0
        return unwell if time.monotonic() - asked > LONGEST_CHECK else unwell + CHECK_EVERY

    def _end_orphans(self) -> None:
        """What a killed process left of its own: Nginx's workers would keep the port."""
        assert self._child is not None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        left = list(self.program.left_behind())
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        until_gone(left, ORPHANS_PATIENCE)

    async def _end(self, how: signal.Signals, patience: float | None = None) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        with suppress(ProcessLookupError):
            child.send_signal(how)
            child.send_signal(signal.SIGCONT)  # a paused process cannot hear anything else
        with suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), patience)
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def launched(death_signal: signal.Signals, user: User | None = None) -> Sequence[str]:
    """What goes before a command so that it dies with us, and runs as another user."""
    owner = f"{user.uid}:{user.gid}" if user else "-"
    return (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(death_signal)), owner)


def _words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
