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
from infra.database.checks import Check, VerifyReport, Violation
from infra.messaging import connection as messaging
from infra.messaging.topology import RETENTION_DAYS
from infra.ops.verify import store_readers as stores
from infra.ops.verify.audit_log_check import AUDIT_LOG_CHECKS
from infra.ops.verify.cross_store_checks import (
    GATEWAY_CHECKS,
    MONEY_CHECKS,
    OWNERSHIP_CHECKS,
    PREPARATION_SQL,
    STOCK_CHECKS,
)
from infra.ops.verify.event_checks import EVENT_CHECKS
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, open_fact_database
from infra.ops.verify.registry import ServiceChecks, checks_of
from infra.ops.verify.store_readers import StoreAddresses
from infra.ops.verify.stream_reader import StreamReader

DAY_SECONDS = 86_400
READ_ORDER = ("catalog", "order", "payment", "user", "notification")
"""What is said is read before what proves it: a sale before its order, an order before its payment."""

CROSS_STORE_CHECKS: tuple[Check, ...] = (
    *STOCK_CHECKS,
    *MONEY_CHECKS,
    *GATEWAY_CHECKS,
    *EVENT_CHECKS,
    *OWNERSHIP_CHECKS,
    *AUDIT_LOG_CHECKS,
)

Told = Callable[[str, int], None]
"""Hears what is being read, and how many more of it are."""

ViolationKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyTarget:
    """Where a shop is: NATS, as the operator sees it, and the stores."""

    nats_url: str
    nats_password: str
    stores: StoreAddresses


@asynccontextmanager
async def connect_as_operator(target: VerifyTarget) -> AsyncIterator[Client]:
    """On NATS as the operator; what is not there now is not waited for."""
    connecting = messaging.connect(
        target.nats_url, OPERATOR, target.nats_password, allow_reconnect=True, max_reconnect_attempts=3
    )
    async with connecting as client:
        yield client


@dataclass
class SuspectedViolation:
    """Something that looks wrong; `since` is when it was first seen just like this."""

    violation: Violation
    since: float

    def is_confirmed(self, confirm_after_seconds: float, at: float) -> bool:
        return at - self.since >= confirm_after_seconds * self.violation.confirm_factor


@dataclass
class Verifier:
    """One audit, in seconds: `patience` is how long a thing has to stay wrong, `most` how long all may take.

    `late` is how long an event may wait to be heard.
    """

    target: VerifyTarget
    confirm_after_seconds: float
    timeout_seconds: float
    on_progress: Told = lambda *_: None
    late_seconds: float = 60.0
    service_checks: dict[str, ServiceChecks] = field(default_factory=dict)
    truncated_checks: set[str] = field(default_factory=set)
    passes: int = 0

    async def run(self) -> VerifyReport:
        begun = time.monotonic()
        self.service_checks = {service: checks_of(service) for service in (*self.target.stores.postgres, "cart")}
        with open_fact_database() as found:
            async with connect_as_operator(self.target) as client:
                streams = StreamReader(client, found)
                proven, moving = await self._look_until_sure(found, streams, begun)
            return VerifyReport(
                violations=tuple(sorted(proven, key=_place_of)),
                unconfirmed=tuple(sorted(moving, key=_place_of)),
                check_count=len(CROSS_STORE_CHECKS)
                + sum(len(room.checks) + 1 for room in self.service_checks.values()),
                fact_count=found.count,
                passes=self.passes,
                seconds=time.monotonic() - begun,
                truncated_checks=frozenset(self.truncated_checks),
            )

    async def _look_until_sure(
        self, found: FactDatabase, streams: StreamReader, begun: float
    ) -> tuple[list[Violation], list[Violation]]:
        """The first look says what is suspected; what comes up later is left to the next audit."""
        at = time.monotonic()
        suspected = {_thing(one): SuspectedViolation(one, time.monotonic()) for one in await self._look(found, streams)}
        while True:
            waiting = [one for one in suspected.values() if not one.is_confirmed(self.confirm_after_seconds, at)]
            if not waiting or time.monotonic() - begun > self.timeout_seconds:
                proven = [
                    one.violation for one in suspected.values() if one.is_confirmed(self.confirm_after_seconds, at)
                ]
                return proven, [one.violation for one in waiting]
            longest = max(self.confirm_after_seconds * one.violation.confirm_factor + one.since for one in waiting)
            await asyncio.sleep(max(longest - time.monotonic(), 0))
            at = time.monotonic()
            suspected = _still(suspected, await self._look(found, streams))

    async def _look(self, found: FactDatabase, streams: StreamReader) -> list[Violation]:
        """Everything once, in the order that makes what proves a thing newer than the thing."""
        self.passes += 1
        found.drop_tables(keep=("event", "head"))
        await streams.read_positions()
        await streams.read_audit_anchors(self.on_progress)
        violations: list[Violation] = []
        for service in (*(name for name in READ_ORDER if name in self.service_checks), "cart"):
            violations += await self._read(service, found)
        await streams.read_events(self.on_progress)
        for service, dsn in self.target.stores.postgres.items():
            await stores.read_inbox(dsn, service, found, self.on_progress)
        violations += await asyncio.to_thread(self._judge, found)
        return self._counted(violations)

    async def _read(self, service: str, found: FactDatabase) -> Sequence[Violation]:
        room = self.service_checks[service]
        if service in self.target.stores.postgres:
            return await stores.read_postgres(self.target.stores.postgres[service], room, found, self.on_progress)
        await stores.read_mongo(self.target.stores, room, found, self.on_progress)
        return ()

    def _judge(self, found: FactDatabase) -> list[Violation]:
        now = int(time.time())
        values = {"late": now - int(self.late_seconds), "horizon": now - (RETENTION_DAYS - 1) * DAY_SECONDS}
        found.prepare(PREPARATION_SQL)
        violations: list[Violation] = []
        for check in CROSS_STORE_CHECKS:
            violations += found.run_check(check, values)
            self.on_progress("laws", 1)
        return violations

    def _counted(self, violations: list[Violation]) -> list[Violation]:
        """No more of a check than can be told."""
        kept: list[Violation] = []
        counts: dict[str, int] = {}
        for one in violations:
            name = f"{one.check} {one.ids.get('service', '')}"
            counts[name] = counts.get(name, 0) + 1
            if counts[name] <= MAX_VIOLATIONS_PER_CHECK:
                kept.append(one)
            else:
                self.truncated_checks.add(one.check)
        return kept


def _still(
    suspected: dict[ViolationKey, SuspectedViolation], found: Sequence[Violation]
) -> dict[ViolationKey, SuspectedViolation]:
    """Of what was suspected, that which is there still; what has changed is as new."""
    now = time.monotonic()
    still: dict[ViolationKey, SuspectedViolation] = {}
    for one in found:
        before = suspected.get(_thing(one))
        if before is not None:
            still[_thing(one)] = before if before.violation == one else SuspectedViolation(one, now)
    return still


def _thing(one: Violation) -> ViolationKey:
    return one.check, *one.ids.values()


def _place_of(one: Violation) -> tuple[int, str, ViolationKey]:
    return one.invariant, one.check, _thing(one)


UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    *stores.UNAVAILABLE_ERRORS,
    sqlite3.Error,
    nats.errors.Error,
    OSError,
    TimeoutError,
)
"""What is raised when the audit cannot get at something."""
