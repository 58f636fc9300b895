"""The state of a running stack for other commands: a JSON file without secrets, rewritten at each change."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from infra.ops.devstack.private_files import write_private

POLL_SECONDS = 0.02
CLOCK_SLACK_SECONDS = 1.0
"""The kernel reports start times in ticks, so two readings of one start may differ a little."""


class ProcessState(BaseModel):
    """One process. `created` and `since` are Unix times: when it started, and when it entered its state."""

    name: str
    state: str
    address: str = ""
    origin: str = ""
    pid: int | None = None
    created: float = 0
    restarts: int = 0
    since: float = 0


class StackState(BaseModel):
    """The supervisor (`pid`, `created`), its processes, and the URLs to open once all are ready."""

    pid: int
    created: float
    ready: bool = False
    urls: dict[str, str] = {}
    processes: list[ProcessState] = []

    def is_running(self) -> bool:
        """Tells whether the supervisor that wrote this is alive, rather than another process with its pid."""
        return is_alive(self.pid, self.created)


def write_state(path: Path, state: StackState) -> None:
    """Replaces the state file atomically."""
    write_private(path, state.model_dump_json(indent=1))


def read_state(path: Path) -> StackState | None:
    """Returns the state, or None when there is no state file or it cannot be read."""
    try:
        return StackState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def is_alive(pid: int, created: float) -> bool:
    """Tells whether the process with this pid still is the one that started at this Unix time."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < CLOCK_SLACK_SECONDS and process.status() != psutil.STATUS_ZOMBIE
    return False


def wait_until_gone(processes: Iterable[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """Waits, and returns the processes that still run. A zombie counts as gone: its parent may never reap it."""
    left, deadline = list(processes), time.monotonic() + timeout_seconds
    while True:
        left = [process for process in left if _is_running(process)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_SECONDS)


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def own_create_time() -> float:
    """Returns the Unix time at which this process started."""
    return psutil.Process(os.getpid()).create_time()
