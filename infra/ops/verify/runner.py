"""Looks at everything, and again at what looked wrong, until each such thing is gone, proven, or known to be moving."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats.errors
from nats.aio.client import Client

from contracts.operation import OPERATOR
from infra.database.checks import Check, Report, Violation
from infra.messaging import connection as messaging
from infra.messaging.topology import KEPT_DAYS
from infra.ops.verify import store_readers as stores
from infra.ops.verify.audit_log_check import TRAILS
from infra.ops.verify.cross_store_checks import BELONGING, GATEWAY, MONEY, PREPARATION, STOCK
from infra.ops.verify.event_checks import EVENTS
from infra.ops.verify.fact_db import MOST, Evidence, evidence
from infra.ops.verify.registry import Room, room_of
from infra.ops.verify.store_readers import Stores
from infra.ops.verify.stream_reader import Streams

DAY = 86_400
IN_TURN = ("catalog", "order", "payment", "user", "notification")
"""What is said is read before what proves it: a sale before its order, an order before its payment."""

LAWS: tuple[Check, ...] = (*STOCK, *MONEY, *GATEWAY, *EVENTS, *BELONGING, *TRAILS)

Told = Callable[[str, int], None]
"""Hears what is being read, and how many more of it are."""

Thing = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shop is: NATS, as the operator sees it, and the stores."""

    nats_url: str
    nats_password: str
    stores: Stores


@asynccontextmanager
async def operator(place: Place) -> AsyncIterator[Client]:
    """On NATS as the operator; what is not there now is not waited for."""
    connecting = messaging.connect(
        place.nats_url, OPERATOR, place.nats_password, allow_reconnect=True, max_reconnect_attempts=3
    )
    async with connecting as client:
        yield client


@dataclass
class Suspicion:
    """Something that looks wrong; `since` is when it was first seen just like this."""

    found: Violation
    since: float

    def is_proven(self, patience: float, at: float) -> bool:
        return at - self.since >= patience * self.found.lasts


@dataclass
class Watch:
    """One audit, in seconds: `patience` is how long a thing has to stay wrong, `most` how long all may take.

    `late` is how long an event may wait to be heard.
    """

    place: Place
    patience: float
    most: float
    told: Told = lambda *_: None
    late: float = 60.0
    rooms: dict[str, Room] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    looks: int = 0

    async def audit(self) -> Report:
        begun = time.monotonic()
        self.rooms = {service: room_of(service) for service in (*self.place.stores.postgres, "cart")}
        with evidence() as found:
            async with operator(self.place) as client:
                streams = Streams(client, found)
                proven, moving = await self._look_until_sure(found, streams, begun)
            return Report(
                violations=tuple(sorted(proven, key=_place_of)),
                moving=tuple(sorted(moving, key=_place_of)),
                checks=len(LAWS) + sum(len(room.checks) + 1 for room in self.rooms.values()),
                facts=found.count,
                looks=self.looks,
                seconds=time.monotonic() - begun,
                cut=frozenset(self.cut),
            )

    async def _look_until_sure(
        self, found: Evidence, streams: Streams, begun: float
    ) -> tuple[list[Violation], list[Violation]]:
        """The first look says what is suspected; what comes up later is left to the next audit."""
        at = time.monotonic()
        suspected = {_thing(one): Suspicion(one, time.monotonic()) for one in await self._look(found, streams)}
        while True:
            waiting = [one for one in suspected.values() if not one.is_proven(self.patience, at)]
            if not waiting or time.monotonic() - begun > self.most:
                proven = [one.found for one in suspected.values() if one.is_proven(self.patience, at)]
                return proven, [one.found for one in waiting]
            longest = max(self.patience * one.found.lasts + one.since for one in waiting)
            await asyncio.sleep(max(longest - time.monotonic(), 0))
            at = time.monotonic()
            suspected = _still(suspected, await self._look(found, streams))

    async def _look(self, found: Evidence, streams: Streams) -> list[Violation]:
        """Everything once, in the order that makes what proves a thing newer than the thing."""
        self.looks += 1
        found.forget(but=("event", "head"))
        await streams.begin()
        await streams.heads(self.told)
        violations: list[Violation] = []
        for service in (*(name for name in IN_TURN if name in self.rooms), "cart"):
            violations += await self._read(service, found)
        await streams.read(self.told)
        for service, dsn in self.place.stores.postgres.items():
            await stores.read_heard(dsn, service, found, self.told)
        violations += await asyncio.to_thread(self._judge, found)
        return self._counted(violations)

    async def _read(self, service: str, found: Evidence) -> Sequence[Violation]:
        room = self.rooms[service]
        if service in self.place.stores.postgres:
            return await stores.read(self.place.stores.postgres[service], room, found, self.told)
        await stores.read_told(self.place.stores, room, found, self.told)
        return ()

    def _judge(self, found: Evidence) -> list[Violation]:
        now = int(time.time())
        values = {"late": now - int(self.late), "horizon": now - (KEPT_DAYS - 1) * DAY}
        found.prepare(PREPARATION)
        violations: list[Violation] = []
        for check in LAWS:
            violations += found.find(check, values)
            self.told("laws", 1)
        return violations

    def _counted(self, violations: list[Violation]) -> list[Violation]:
        """No more of a check than can be told."""
        kept: list[Violation] = []
        counts: dict[str, int] = {}
        for one in violations:
            name = f"{one.check} {one.ids.get('service', '')}"
            counts[name] = counts.get(name, 0) + 1
            if counts[name] <= MOST:
                kept.append(one)
            else:
                self.cut.add(one.check)
        return kept


def _still(suspected: dict[Thing, Suspicion], found: Sequence[Violation]) -> dict[Thing, Suspicion]:
    """Of what was suspected, that which is there still; what has changed is as new."""
    now = time.monotonic()
    still: dict[Thing, Suspicion] = {}
    for one in found:
        before = suspected.get(_thing(one))
        if before is not None:
            still[_thing(one)] = before if before.found == one else Suspicion(one, now)
    return still


def _thing(one: Violation) -> Thing:
    return one.check, *one.ids.values()


def _place_of(one: Violation) -> tuple[int, str, Thing]:
    return one.law, one.check, _thing(one)


AWAY: tuple[type[Exception], ...] = (*stores.AWAY, sqlite3.Error, nats.errors.Error, OSError, TimeoutError)
"""What is raised when the audit cannot get at something."""
