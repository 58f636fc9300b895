"""What goes wrong when: a timeline drawn from a seed, the same for the same seed and shape of the stack.

Each fault keeps its process to itself until it has recovered; at most `AT_ONCE` go on side by side. The faults of one
server that many others lean on (NATS) fill most of the time, so they are laid out first; the others are put where there
is room, half of them where the shop is dark anyway, so that it serves for a fair part of the run.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

TIMES = 5
PAUSE = 10.0
AWAY = 30.0
CALM = 30.0
"""Seconds in the middle without any fault, for the audit of a shop that sells."""
SHORTEST_WITH_CALM = 240.0
"""Seconds of a run up to which there is none."""
FIRST, LAST = 4.0, 6.0
"""Seconds left alone at both ends."""
EARLY = 0.85
"""The part of the run in which crashes are ordered: it may take a while until somebody comes by."""

OF_A_NODE = 2
AT_ONCE = 3
STEP = 0.5
CANDIDATES = 40
SERVERS = ("postgres", "mongo", "nginx")
STORES = ("postgres", "mongo", "nats")


class Kind(StrEnum):
    """What can go wrong."""

    KILL = "kill -9"
    PAUSE = "SIGSTOP for 10 s"
    AWAY = "NATS away for 30 s"
    LEADER = "kill -9 of a stream's leader"
    CRASH = "crash point"
    DUPLICATE = "duplicated events"
    REORDER = "reordered events"
    CLOCK = "clock off by 2 minutes"
    DISK = "disk full"


LASTS: Mapping[Kind, float] = {Kind.PAUSE: PAUSE, Kind.AWAY: AWAY, Kind.CLOCK: 8.0, Kind.DISK: 5.0, Kind.REORDER: 2.0}
"""Seconds until it is put right; the others are over at once."""

RECOVERS: Mapping[Kind, float] = {
    Kind.KILL: 4.0,
    Kind.PAUSE: 2.0,
    Kind.AWAY: 4.0,
    Kind.LEADER: 4.0,
    Kind.CLOCK: 3.0,
    Kind.DISK: 4.0,
}
"""Seconds after that in which the same process is left alone."""

STARTED_ANEW = 16.0
"""JetStream gives up on a full disk, and its server is started anew when it has been unwell for a while."""

QUIET = frozenset({Kind.CRASH, Kind.DUPLICATE, Kind.REORDER})
"""They touch no process that must be left alone, and do not count as going on."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `target` is a process, a service (all of its processes), a stream or a crash point."""

    kind: Kind
    target: str
    at: float = 0.0
    detail: str = ""

    @property
    def lasts(self) -> float:
        return LASTS.get(self.kind, 0.0)

    @property
    def busy(self) -> float:
        if (self.kind, self.target) == (Kind.DISK, "nats"):
            return self.lasts + STARTED_ANEW
        return self.lasts + RECOVERS.get(self.kind, 1.0)

    def moved(self, at: float) -> "Fault":
        return Fault(self.kind, self.target, at, self.detail)

    def __str__(self) -> str:
        return f"{self.at:6.1f} s  {self.kind.value:<30} {self.target} {self.detail}".rstrip()


@dataclass(frozen=True)
class Shape:
    """The stack that is to suffer: the processes by service, how many NATS nodes, and the crash points of the code."""

    processes: Mapping[str, Sequence[str]]
    nats_nodes: int = 1
    points: Sequence[str] = ()
    consumers: Sequence[str] = ()
    """`ORDER.catalog`: whose events can come twice, or in another order."""
    often: Sequence[str] = ()
    """Crash points that come five times: between effect and acknowledgement, and between acknowledgement and delete."""
    stores: Sequence[str] = STORES
    """Those whose disk can be made full here."""

    @property
    def nodes(self) -> Sequence[str]:
        return ["nats"] if self.nats_nodes == 1 else [f"nats-{n + 1}" for n in range(self.nats_nodes)]

    def touched(self, fault: Fault) -> frozenset[str]:
        """The processes that a fault keeps to itself. NATS nodes count as one: two at once are no cluster any more."""
        if fault.kind in QUIET:
            return frozenset()
        if fault.target.startswith("nats") or fault.kind is Kind.LEADER:
            return frozenset({"nats"})
        return frozenset(self.processes.get(fault.target, (fault.target,)))

    def darkens(self, fault: Fault) -> bool:
        """Whether nobody can order meanwhile."""
        if fault.kind in (Kind.CLOCK, *QUIET) or (fault.kind, fault.target) == (Kind.DISK, "nats"):
            return False
        if (self.nats_nodes > 1 and fault.target.startswith("nats-")) or fault.kind is Kind.LEADER:
            return False
        return fault.kind is Kind.AWAY or fault.target in ("nats", "nginx", "postgres", "edge", "order", "catalog")


def wanted(shape: Shape, chance: random.Random, times: int = TIMES, *, only: Iterable[Kind] = ()) -> list[Fault]:
    """Every fault of a run, without its moment."""
    chosen = frozenset(only) or frozenset(Kind)
    faults = [
        Fault(kind, target)
        for kind in (Kind.KILL, Kind.PAUSE)
        for name in (*shape.processes, *SERVERS, *shape.nodes)
        for target in _among(name, shape, chance, _times(kind, name, times))
    ]
    faults += [Fault(Kind.AWAY, "nats") for _ in range(times)]
    if shape.nats_nodes > 1:
        streams = sorted({name.partition(".")[0] for name in shape.consumers})
        faults += [Fault(Kind.LEADER, chance.choice(streams)) for _ in range(times) if streams]
    for kind in (Kind.DUPLICATE, Kind.REORDER):
        faults += [Fault(kind, chance.choice(list(shape.consumers))) for _ in range(times) if shape.consumers]
    faults += [Fault(Kind.CLOCK, name, detail=sign) for sign in "+-" for name in shape.processes if name != "edge"]
    faults += [Fault(Kind.DISK, name) for name in shape.stores for _ in range(times)]
    faults += [Fault(Kind.CRASH, name) for name in shape.points]
    faults += [Fault(Kind.CRASH, name) for name in shape.often for _ in range(times - 1)]
    return [fault for fault in faults if fault.kind in chosen]


def _times(kind: Kind, name: str, times: int) -> int:
    """Of the nodes of a cluster each is stopped twice: together that is more often than a server alone."""
    return min(times, OF_A_NODE) if kind is Kind.PAUSE and name.startswith("nats-") else times


def _among(name: str, shape: Shape, chance: random.Random, times: int) -> list[str]:
    """A service with several processes loses one of them, or all at once."""
    several = list(shape.processes.get(name, ()))
    choices = [*several, name] if len(several) > 1 and times > 1 else [name]
    found = [choices[n % len(choices)] for n in range(times)]
    chance.shuffle(found)
    return found


@dataclass
class Timeline:
    """Faults that have their moment."""

    shape: Shape
    seconds: float
    chance: random.Random
    placed: list[Fault] = field(default_factory=list)

    @property
    def calm(self) -> tuple[float, float]:
        """When nothing happens, in the middle; nowhere in a run that is too short for it."""
        middle = self.seconds / 2
        return (middle - CALM / 2, middle + CALM / 2) if self.seconds > SHORTEST_WITH_CALM else (middle, middle)

    def lay_out(self, faults: list[Fault]) -> None:
        """One after the other in random order, with the time that is left between them shared out at random."""
        self.chance.shuffle(faults)
        calm = self.calm
        kept = 2 * CALM if calm[1] > calm[0] else 0.0
        room = self.seconds - FIRST - LAST - sum(fault.busy for fault in faults) - kept
        if room < 0:
            message = f"the faults of NATS alone take {self.seconds - room:.0f} s"
            raise ValueError(message)
        cuts = sorted(self.chance.uniform(0, room) for _ in faults)
        at, before = FIRST, 0.0
        for fault, cut in zip(faults, cuts, strict=True):
            at += cut - before
            if at < calm[1] and at + fault.busy > calm[0]:
                at = calm[1]
            self.placed.append(fault.moved(math.floor(at * 10) / 10))
            at, before = at + fault.busy, cut

    def put(self, fault: Fault) -> None:
        """Where there is room; more at once where there is none."""
        for most in range(AT_ONCE, 3 * AT_ONCE):
            free = [at for at in self._moments(fault) if self._fits(fault.moved(at), most)]
            if free:
                picked = self.chance.sample(free, min(CANDIDATES, len(free)))
                in_the_dark = self.shape.darkens(fault) and self.chance.random() < 0.8
                at = min(picked, key=lambda one: self._light(fault.moved(one))) if in_the_dark else picked[0]
                self.placed.append(fault.moved(at))
                return
        message = f"{fault.kind.value} of {fault.target} finds no room in {self.seconds:.0f} s"
        raise ValueError(message)

    def _moments(self, fault: Fault) -> list[float]:
        end = self.seconds * EARLY if fault.kind in QUIET else self.seconds - LAST - fault.lasts
        steps = int(max(0.0, end - FIRST) / STEP)
        return [FIRST + step * STEP for step in range(steps + 1)]

    def _fits(self, fault: Fault, most: int) -> bool:
        end, calm = fault.at + fault.busy, self.calm
        if fault.at < calm[1] and end > calm[0]:
            return False
        touched = self.shape.touched(fault)
        beside = [other for other in self.placed if other.at < end and fault.at < other.at + other.busy]
        if fault.kind in QUIET:
            return sum(other.kind in QUIET for other in beside) < most
        if any(self.shape.touched(other) & touched for other in beside):
            return False
        return sum(other.kind not in QUIET for other in beside) < most

    def _light(self, fault: Fault) -> float:
        """Seconds in which nobody could order because of this fault alone."""
        dark = [(one.at, one.at + one.busy) for one in self.placed if self.shape.darkens(one)]
        moments = [fault.at + step * STEP for step in range(int(fault.busy / STEP))]
        return sum(STEP for moment in moments if not any(begin <= moment < end for begin, end in dark))


def plan(seed: int, shape: Shape, seconds: float, times: int = TIMES, *, only: Iterable[Kind] = ()) -> list[Fault]:
    """The timeline, in order."""
    chance = random.Random(seed)
    faults = wanted(shape, chance, times, only=only)
    timeline = Timeline(shape, seconds, chance)
    first = [fault for fault in faults if "nats" in shape.touched(fault)]
    rest = [fault for fault in faults if "nats" not in shape.touched(fault)]
    timeline.lay_out(first)
    chance.shuffle(rest)
    for fault in sorted(rest, key=lambda fault: (fault.kind in QUIET, -fault.busy)):
        timeline.put(fault)
    return sorted(timeline.placed, key=lambda fault: (fault.at, fault.kind, fault.target))
