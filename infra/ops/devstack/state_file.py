"""What a running stack tells other terminals: a file without secrets, written anew at each change."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

POLL = 0.02
CLOCK_SLACK = 1.0  # seconds: the start time of a process is only as exact as the kernel's ticks


class ProcessState(BaseModel):
    name: str
    state: str
    address: str = ""
    origin: str = ""
    pid: int | None = None
    created: float = 0
    restarts: int = 0
    since: float = 0


class StackState(BaseModel):
    pid: int
    created: float
    ready: bool = False
    urls: dict[str, str] = {}
    processes: list[ProcessState] = []

    def is_running(self) -> bool:
        """Whether the supervisor that wrote this is alive, and not another process under its number."""
        return is_alive(self.pid, self.created)


def write_state(path: Path, state: StackState) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(state.model_dump_json(indent=1))
    draft.replace(path)


def read_state(path: Path) -> StackState | None:
    """None when no stack has run here, or when what it left cannot be read."""
    try:
        return StackState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def is_alive(pid: int, created: float) -> bool:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < CLOCK_SLACK and process.status() != psutil.STATUS_ZOMBIE
    return False


def until_gone(processes: Iterable[psutil.Process], patience: float) -> list[psutil.Process]:
    """Waits, and returns those that are still there. A zombie is gone: whoever adopted it may never collect it."""
    left, deadline = list(processes), time.monotonic() + patience
    while True:
        left = [process for process in left if _lives(process)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def own_start() -> float:
    return psutil.Process(os.getpid()).create_time()
