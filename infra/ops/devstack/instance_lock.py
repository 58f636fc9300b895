"""At most one stack runs on a data folder: its lock, and the cleanup after a stack that was killed."""

import fcntl
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.private_files import create_private_file
from infra.ops.devstack.state_file import ProcessState, is_alive, read_state, wait_until_gone

TERMINATE_TIMEOUT_SECONDS = 5.0


@contextmanager
def lock_data_dir(data_dir: DataDir) -> Iterator[str]:
    """Locks the folder until this process ends. Yields a sentence about what it cleaned up, or an empty text."""
    with create_private_file(data_dir.lock_file).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"Souk already runs on {data_dir.path} (process {lock.read().strip() or 'unknown'}). "
                "Stop it with `souk down`, or choose another folder with --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield clean_up_leftovers(data_dir)
        finally:
            data_dir.state_file.unlink(missing_ok=True)


def clean_up_leftovers(data_dir: DataDir) -> str:
    """Terminates the processes of a stack that was killed. Returns a sentence about it, or an empty text."""
    state = read_state(data_dir.state_file)
    if state is None or state.is_running():
        return ""
    ended = terminate_processes(state.processes)
    data_dir.state_file.unlink(missing_ok=True)
    what = f"ended what it left running: {', '.join(ended)}" if ended else "it left nothing running"
    return f"The last Souk on {data_dir.path} (process {state.pid}) did not end by itself; {what}."


def terminate_processes(leftovers: Iterable[ProcessState]) -> list[str]:
    """Sends SIGTERM, then SIGKILL, to the recorded processes that still run and their children. Returns their names."""
    found: dict[str, psutil.Process] = {}
    for one in leftovers:
        if one.pid and is_alive(one.pid, one.created):
            with suppress(psutil.NoSuchProcess):
                found[one.name] = psutil.Process(one.pid)
    family = [member for process in found.values() for member in _family(process)]
    for process in found.values():
        for which in (signal.SIGINT if process.name() == "postgres" else signal.SIGTERM, signal.SIGCONT):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(which)
    alive = wait_until_gone(family, TERMINATE_TIMEOUT_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until_gone(alive, TERMINATE_TIMEOUT_SECONDS)
    return sorted(found)


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []
