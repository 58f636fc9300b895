"""An idle shop: its processes sleep until there is work."""

import time
from pathlib import Path

from contracts.registry import SERVICES
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually

MAX_WAKE_UPS_PER_SECOND = 25


def count_wake_ups(pid: int) -> int:
    """Returns how often the main thread of a process has waited for something."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


class Activity:
    """The wake-ups of each process in whole seconds, one after the other."""

    def __init__(self, pids: dict[str, int]) -> None:
        self.pids = pids
        self._start()

    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._before = {name: count_wake_ups(pid) for name, pid in self.pids.items()}

    def is_rare(self) -> bool:
        """Whether a second has ended in which no process woke up often."""
        if time.monotonic() - self._started_at < 1:
            return False
        counts = {name: count_wake_ups(pid) - self._before[name] for name, pid in self.pids.items()}
        self._start()
        busy = {name: count for name, count in counts.items() if count > MAX_WAKE_UPS_PER_SECOND}
        assert not busy
        return True


async def test_an_idle_process_rarely_wakes_up(stack: Stack) -> None:
    """Work that earlier tests have begun may take a while."""
    await eventually(Activity({name: stack.pids(name)[0] for name in (*SERVICES, "edge")}).is_rare, timeout_seconds=60)
