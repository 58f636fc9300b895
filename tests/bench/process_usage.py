"""CPU time and memory of each process of a stack, with its children, from /proc."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from infra.ops.devstack.stack import Stack

LOAD = "load"
"""The load generator, which is this process."""
NOT_OF_THE_SHOP = (LOAD, "mail")
"""The load generator, and the server that takes the mails."""
SERVERS = ("nats", "postgres", "mongo", "nginx")


def of_the_shop(used: Mapping[str, float]) -> dict[str, float]:
    """What the shop's processes used."""
    return {name: value for name, value in used.items() if name not in NOT_OF_THE_SHOP}


def of_souk(used: Mapping[str, float]) -> dict[str, float]:
    """What the services and the edge used."""
    return {name: value for name, value in of_the_shop(used).items() if name not in SERVERS}


def cpu_seconds(stack: Stack) -> dict[str, float]:
    """CPU seconds so far of each process with its children, also those that have ended."""
    used = {LOAD: sum(psutil.Process().cpu_times()[:2])}
    for name, family in _families(stack):
        used[name] = 0.0
        for member in family:
            with suppress(psutil.NoSuchProcess):
                used[name] += sum(member.cpu_times()[:4])
    return used


def pss_mebibytes(stack: Stack) -> dict[str, float]:
    """The proportional set size of each process with its children: pages that n processes share count as 1/n each."""
    return {name: sum(_pss(member.pid) for member in family) for name, family in _families(stack)}


def _families(stack: Stack) -> Iterator[tuple[str, list[psutil.Process]]]:
    for name, process in stack.processes.items():
        if process.pid:
            parent = psutil.Process(process.pid)
            yield name, [parent, *parent.children(recursive=True)]


def _pss(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
