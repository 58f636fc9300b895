"""The timeline of faults, drawn from a seed: equal for an equal seed and stack.

Each fault has its process to itself until the process has recovered; at most `MAX_CONCURRENT` faults are active at
once. Faults of NATS, which everything depends on, fill most of the time, so they are placed first. The others go where
there is room, most of them where no customer can order anyway, so that the shop serves for a fair part of the run.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

DEFAULT_REPEATS = 5
PAUSE_SECONDS = 10.0
OUTAGE_SECONDS = 30.0
CALM_SECONDS = 30.0
"""Time in the middle without faults, to verify a shop that sells."""
MIN_SECONDS_WITH_CALM = 240.0
"""Runs of up to this length have no such time."""
LEAD_IN_SECONDS, LEAD_OUT_SECONDS = 4.0, 6.0
"""Time without faults at both ends."""
CRASH_WINDOW_SHARE = 0.85
"""The part of the run in which failpoints are enabled, because a request may take a while to reach one."""

PAUSES_PER_NODE = 2
MAX_CONCURRENT = 3
STEP_SECONDS = 0.5
CANDIDATES = 40
SERVERS = ("postgres", "mongo", "nginx")
STORES = ("postgres", "mongo", "nats")


class FaultKind(StrEnum):
    """The kinds of faults."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP for 10 s"
    OUTAGE = "NATS away for 30 s"
    LEADER = "kill -9 of a stream's leader"
    CRASH = "crash point"
    DUPLICATE = "duplicated events"
    REORDER = "reordered events"
    CLOCK = "clock off by 2 minutes"
    DISK = "disk full"


DURATION_SECONDS: Mapping[FaultKind, float] = {
    FaultKind.PAUSE: PAUSE_SECONDS,
    FaultKind.OUTAGE: OUTAGE_SECONDS,
    FaultKind.CLOCK: 8.0,
    FaultKind.DISK: 5.0,
    FaultKind.REORDER: 2.0,
}
"""Seconds until a fault is repaired; other faults are over at once."""

RECOVERY_SECONDS: Mapping[FaultKind, float] = {
    FaultKind.KILL: 4.0,
    FaultKind.PAUSE: 2.0,
    FaultKind.OUTAGE: 4.0,
    FaultKind.LEADER: 4.0,
    FaultKind.CLOCK: 3.0,
    FaultKind.DISK: 4.0,
}
"""Seconds after a fault in which its process is left alone."""

NATS_DISK_RESTART_SECONDS = 16.0
"""JetStream gives up on a full disk, and the supervisor restarts its server after it has been unhealthy for a while."""

NON_EXCLUSIVE = frozenset({FaultKind.CRASH, FaultKind.DUPLICATE, FaultKind.REORDER})
"""Faults that occupy no process and do not count as active."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `target` is a process, a service (all of its processes), a stream or a failpoint."""

    kind: FaultKind
    target: str
    at: float = 0.0
    detail: str = ""

    @property
    def duration_seconds(self) -> float:
        return DURATION_SECONDS.get(self.kind, 0.0)

    @property
    def occupied_seconds(self) -> float:
        if (self.kind, self.target) == (FaultKind.DISK, "nats"):
            return self.duration_seconds + NATS_DISK_RESTART_SECONDS
        return self.duration_seconds + RECOVERY_SECONDS.get(self.kind, 1.0)

    def moved_to(self, at: float) -> "Fault":
        return Fault(self.kind, self.target, at, self.detail)

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind.value:<30} {self.target} {self.detail}".rstrip()


@dataclass(frozen=True)
class StackShape:
    """The stack to attack: processes by service, number of NATS nodes, failpoints of the code."""

    processes: Mapping[str, Sequence[str]]
    nats_nodes: int = 1
    failpoints: Sequence[str] = ()
    consumers: Sequence[str] = ()
    """Consumers such as `ORDER.catalog`, whose events can be duplicated or reordered."""
    repeated_failpoints: Sequence[str] = ()
    """Failpoints hit five times: between effect and acknowledgement, and between acknowledgement and delete."""
    stores: Sequence[str] = STORES
    """Stores whose disk can be filled on this machine."""

    @property
    def nodes(self) -> Sequence[str]:
        return ["nats"] if self.nats_nodes == 1 else [f"nats-{n + 1}" for n in range(self.nats_nodes)]

    def occupied_processes(self, fault: Fault) -> frozenset[str]:
        """The processes that a fault occupies. NATS nodes count as one: two failed nodes leave no cluster."""
        if fault.kind in NON_EXCLUSIVE:
            return frozenset()
        if fault.target.startswith("nats") or fault.kind is FaultKind.LEADER:
            return frozenset({"nats"})
        return frozenset(self.processes.get(fault.target, (fault.target,)))

    def blocks_checkout(self, fault: Fault) -> bool:
        """Whether no customer can order during the fault."""
        if fault.kind in (FaultKind.CLOCK, *NON_EXCLUSIVE) or (fault.kind, fault.target) == (FaultKind.DISK, "nats"):
            return False
        if (self.nats_nodes > 1 and fault.target.startswith("nats-")) or fault.kind is FaultKind.LEADER:
            return False
        return fault.kind is FaultKind.OUTAGE or fault.target in (
            "nats",
            "nginx",
            "postgres",
            "edge",
            "order",
            "catalog",
        )


def draw_faults(
    shape: StackShape, rng: random.Random, times: int = DEFAULT_REPEATS, *, only: Iterable[FaultKind] = ()
) -> list[Fault]:
    """All faults of a run, without their times."""
    chosen = frozenset(only) or frozenset(FaultKind)
    faults = [
        Fault(kind, target)
        for kind in (FaultKind.KILL, FaultKind.PAUSE)
        for name in (*shape.processes, *SERVERS, *shape.nodes)
        for target in _targets_of(name, shape, rng, _times(kind, name, times))
    ]
    faults += [Fault(FaultKind.OUTAGE, "nats") for _ in range(times)]
    if shape.nats_nodes > 1:
        streams = sorted({name.partition(".")[0] for name in shape.consumers})
        faults += [Fault(FaultKind.LEADER, rng.choice(streams)) for _ in range(times) if streams]
    for kind in (FaultKind.DUPLICATE, FaultKind.REORDER):
        faults += [Fault(kind, rng.choice(list(shape.consumers))) for _ in range(times) if shape.consumers]
    faults += [Fault(FaultKind.CLOCK, name, detail=sign) for sign in "+-" for name in shape.processes if name != "edge"]
    faults += [Fault(FaultKind.DISK, name) for name in shape.stores for _ in range(times)]
    faults += [Fault(FaultKind.CRASH, name) for name in shape.failpoints]
    faults += [Fault(FaultKind.CRASH, name) for name in shape.repeated_failpoints for _ in range(times - 1)]
    return [fault for fault in faults if fault.kind in chosen]


def _times(kind: FaultKind, name: str, times: int) -> int:
    """Each node of a cluster is paused twice: together more often than a single server."""
    return min(times, PAUSES_PER_NODE) if kind is FaultKind.PAUSE and name.startswith("nats-") else times


def _targets_of(name: str, shape: StackShape, rng: random.Random, times: int) -> list[str]:
    """Of a service with several processes, sometimes one is hit and sometimes all at once."""
    several = list(shape.processes.get(name, ()))
    choices = [*several, name] if len(several) > 1 and times > 1 else [name]
    found = [choices[n % len(choices)] for n in range(times)]
    rng.shuffle(found)
    return found


@dataclass
class Timeline:
    """Faults with their times."""

    shape: StackShape
    seconds: float
    rng: random.Random
    placed: list[Fault] = field(default_factory=list)

    @property
    def calm(self) -> tuple[float, float]:
        """The time without faults in the middle; empty in a short run."""
        middle = self.seconds / 2
        return (
            (middle - CALM_SECONDS / 2, middle + CALM_SECONDS / 2)
            if self.seconds > MIN_SECONDS_WITH_CALM
            else (middle, middle)
        )

    def place_in_sequence(self, faults: list[Fault]) -> None:
        """Places faults one after another in random order, with random gaps."""
        self.rng.shuffle(faults)
        calm = self.calm
        stored = 2 * CALM_SECONDS if calm[1] > calm[0] else 0.0
        service = (
            self.seconds - LEAD_IN_SECONDS - LEAD_OUT_SECONDS - sum(fault.occupied_seconds for fault in faults) - stored
        )
        if service < 0:
            message = f"the faults of NATS alone need {self.seconds - service:.0f} s"
            raise ValueError(message)
        cuts = sorted(self.rng.uniform(0, service) for _ in faults)
        at, before = LEAD_IN_SECONDS, 0.0
        for fault, cut in zip(faults, cuts, strict=True):
            at += cut - before
            if at < calm[1] and at + fault.occupied_seconds > calm[0]:
                at = calm[1]
            self.placed.append(fault.moved_to(math.floor(at * 10) / 10))
            at, before = at + fault.occupied_seconds, cut

    def place_where_free(self, fault: Fault) -> None:
        """Places a fault where there is room, with more concurrent faults if there is none."""
        for limit in range(MAX_CONCURRENT, 3 * MAX_CONCURRENT):
            free = self._free_start_times(fault, limit)
            if free:
                picked = self.rng.sample(free, min(CANDIDATES, len(free)))
                during_outage = self.shape.blocks_checkout(fault) and self.rng.random() < 0.8
                at = (
                    min(picked, key=lambda one: self._only_outage_seconds(fault.moved_to(one)))
                    if during_outage
                    else picked[0]
                )
                self.placed.append(fault.moved_to(at))
                return
        message = f"{fault.kind.value} of {fault.target} has no room in {self.seconds:.0f} s"
        raise ValueError(message)

    def _start_times(self, fault: Fault) -> list[float]:
        end = (
            self.seconds * CRASH_WINDOW_SHARE
            if fault.kind in NON_EXCLUSIVE
            else self.seconds - LEAD_OUT_SECONDS - fault.duration_seconds
        )
        steps = int(max(0.0, end - LEAD_IN_SECONDS) / STEP_SECONDS)
        return [LEAD_IN_SECONDS + step * STEP_SECONDS for step in range(steps + 1)]

    def _free_start_times(self, fault: Fault, limit: int) -> list[float]:
        """Start times beside fewer than `limit` faults of its sort, and none that occupies the same process."""
        touched = self.shape.occupied_processes(fault)
        is_exclusive = fault.kind not in NON_EXCLUSIVE
        beside = [other for other in self.placed if (other.kind not in NON_EXCLUSIVE) == is_exclusive]
        rivals = [(other.at, other.at + other.occupied_seconds) for other in beside]
        closed = [self.calm]
        if is_exclusive:
            closed += [
                times
                for other, times in zip(beside, rivals, strict=True)
                if self.shape.occupied_processes(other) & touched
            ]
        return [
            at
            for at in self._start_times(fault)
            if not _overlapping(closed, at, at + fault.occupied_seconds)
            and len(_overlapping(rivals, at, at + fault.occupied_seconds)) < limit
        ]

    def _only_outage_seconds(self, fault: Fault) -> float:
        """Seconds in which only this fault would keep customers from ordering."""
        dark = [(one.at, one.at + one.occupied_seconds) for one in self.placed if self.shape.blocks_checkout(one)]
        moments = [fault.at + step * STEP_SECONDS for step in range(int(fault.occupied_seconds / STEP_SECONDS))]
        return sum(STEP_SECONDS for moment in moments if not any(begin <= moment < end for begin, end in dark))


def _overlapping(several: list[tuple[float, float]], begin: float, end: float) -> list[float]:
    """The begins of those that overlap a time."""
    return [other_begin for other_begin, other_end in several if other_begin < end and begin < other_end]


def draw_timeline(
    seed: int, shape: StackShape, seconds: float, times: int = DEFAULT_REPEATS, *, only: Iterable[FaultKind] = ()
) -> list[Fault]:
    """The timeline, in order."""
    rng = random.Random(seed)
    faults = draw_faults(shape, rng, times, only=only)
    timeline = Timeline(shape, seconds, rng)
    first = [fault for fault in faults if "nats" in shape.occupied_processes(fault)]
    rest = [fault for fault in faults if "nats" not in shape.occupied_processes(fault)]
    timeline.place_in_sequence(first)
    rng.shuffle(rest)
    for fault in sorted(rest, key=lambda fault: (fault.kind in NON_EXCLUSIVE, -fault.occupied_seconds)):
        timeline.place_where_free(fault)
    return sorted(timeline.placed, key=lambda fault: (fault.at, fault.kind, fault.target))
