"""One stack a data folder: the lock, and what a stack that was killed left behind."""

import fcntl
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.state_file import ProcessState, is_alive, read_state, until_gone

PATIENCE = 5.0


@contextmanager
def claimed(layout: Layout) -> Iterator[str]:
    """Holds the folder until this process ends, however it ends; yields what was cleaned up, in a sentence."""
    with layout.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StackError(
                f"A Souk runs on {layout.data} already (process {lock.read().strip() or 'unknown'}). "
                "Stop it with `souk down`, or give this one a folder of its own with --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield clean_up(layout)
        finally:
            layout.state.unlink(missing_ok=True)


def clean_up(layout: Layout) -> str:
    """Ends the processes of a stack that was killed; says so in a sentence, or nothing."""
    state = read_state(layout.state)
    if state is None or state.is_running():
        return ""
    ended = end(state.processes)
    layout.state.unlink(missing_ok=True)
    what = f"ended what it left running: {', '.join(ended)}" if ended else "it left nothing running"
    return f"The last Souk on {layout.data} (process {state.pid}) did not end by itself; {what}."


def end(left: Iterable[ProcessState]) -> list[str]:
    """SIGTERM, then SIGKILL, to each process that is still the one written down, and to its children."""
    found: dict[str, psutil.Process] = {}
    for one in left:
        if one.pid and is_alive(one.pid, one.created):
            with suppress(psutil.NoSuchProcess):
                found[one.name] = psutil.Process(one.pid)
    family = [member for process in found.values() for member in _family(process)]
    for process in found.values():
        for which in (signal.SIGINT if process.name() == "postgres" else signal.SIGTERM, signal.SIGCONT):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(which)
    alive = until_gone(family, PATIENCE)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until_gone(alive, PATIENCE)
    return sorted(found)


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []
