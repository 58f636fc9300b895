"""Runs a verification: one pass over all stores, then further passes until each suspicion is confirmed or gone."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import nats.errors
from nats.aio.client import Client

from contracts.operation import OPERATOR
from infra.database.checks import Check, VerifyReport, Violation
from infra.messaging import connection as messaging
from infra.messaging.topology import RETENTION_DAYS
from infra.ops.verify import store_readers
from infra.ops.verify.audit_log_check import AUDIT_LOG_CHECKS
from infra.ops.verify.cross_store_checks import (
    GATEWAY_CHECKS,
    MONEY_CHECKS,
    OWNERSHIP_CHECKS,
    PREPARATION_SQL,
    STOCK_CHECKS,
)
from infra.ops.verify.event_checks import EVENT_CHECKS
from infra.ops.verify.fact_db import MAX_VIOLATIONS_PER_CHECK, FactDatabase, ProgressCallback, open_fact_database
from infra.ops.verify.gift_card_checks import GIFT_CARD_CHECKS
from infra.ops.verify.invoice_checks import FILE_FACTS, INVOICE_CHECKS
from infra.ops.verify.registry import SERVICE_CHECKS
from infra.ops.verify.store_readers import StoreAddresses
from infra.ops.verify.stream_reader import StreamReader

DAY_SECONDS = 86_400
READ_ORDER = ("catalog", "order", "payment", "user", "notification", "cart")
"""A store is read before the store that confirms it: a sale before its order, an order before its payment."""

CROSS_STORE_CHECKS: tuple[Check, ...] = (
    *STOCK_CHECKS,
    *MONEY_CHECKS,
    *GATEWAY_CHECKS,
    *GIFT_CARD_CHECKS,
    *INVOICE_CHECKS,
    *EVENT_CHECKS,
    *OWNERSHIP_CHECKS,
    *AUDIT_LOG_CHECKS,
)

UNAVAILABLE_ERRORS: tuple[type[Exception], ...] = (
    *store_readers.UNAVAILABLE_ERRORS,
    sqlite3.Error,
    nats.errors.Error,
    OSError,
    TimeoutError,
)
"""Errors that a verification raises when a store or NATS is unavailable."""

ViolationKey = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyTarget:
    """The shop to verify: NATS, as the operator connects to it, and the stores."""

    nats_url: str
    nats_password: str
    stores: StoreAddresses


@asynccontextmanager
async def connect_as_operator(target: VerifyTarget) -> AsyncIterator[Client]:
    """Connects to NATS as the operator; fails soon when NATS is unavailable."""
    connecting = messaging.connect(
        target.nats_url, OPERATOR, target.nats_password, allow_reconnect=True, max_reconnect_attempts=3
    )
    async with connecting as client:
        yield client


@dataclass
class SuspectedViolation:
    """A violation that is not confirmed yet; `since` is when it was first seen in exactly this form."""

    violation: Violation
    since: float

    def confirmed_at(self, confirm_after_seconds: float) -> float:
        """When the violation will have lasted long enough to be certain."""
        return self.since + confirm_after_seconds * self.violation.confirm_factor


@dataclass
class Verifier:
    """One verification. A violation counts once it has lasted, unchanged, for `confirm_after_seconds`.

    After `timeout_seconds` no further pass begins. `late_seconds` is how long an event may wait for its consumer.
    """

    target: VerifyTarget
    confirm_after_seconds: float
    timeout_seconds: float
    on_progress: ProgressCallback = lambda *_: None
    late_seconds: float = 60.0
    truncated_checks: set[str] = field(default_factory=set)
    passes: int = 0

    async def run(self) -> VerifyReport:
        """Runs passes until every suspected violation is confirmed or gone, or the time is over."""
        started_at = time.monotonic()
        with open_fact_database() as facts_db:
            async with connect_as_operator(self.target) as client:
                streams = StreamReader(client, facts_db)
                confirmed, unconfirmed = await self._run_passes(facts_db, streams, started_at)
            return VerifyReport(
                violations=tuple(sorted(confirmed, key=_sort_key)),
                unconfirmed=tuple(sorted(unconfirmed, key=_sort_key)),
                check_count=self._check_count(),
                fact_count=facts_db.count,
                passes=self.passes,
                seconds=time.monotonic() - started_at,
                truncated_checks=frozenset(self.truncated_checks),
            )

    def _services(self) -> list[str]:
        return [name for name in READ_ORDER if name in self.target.stores.postgres or name == "cart"]

    def _check_count(self) -> int:
        """Each service has one check beside its own: of its outbox."""
        return len(CROSS_STORE_CHECKS) + sum(len(SERVICE_CHECKS[name].checks) + 1 for name in self._services())

    async def _run_passes(
        self, facts_db: FactDatabase, streams: StreamReader, started_at: float
    ) -> tuple[list[Violation], list[Violation]]:
        """The first pass decides what is suspected; later violations are left to the next verification."""
        pass_started_at = time.monotonic()
        found = await self._run_pass(facts_db, streams)
        suspected = {_key(violation): SuspectedViolation(violation, time.monotonic()) for violation in found}
        while True:
            certain_at = {key: one.confirmed_at(self.confirm_after_seconds) for key, one in suspected.items()}
            waiting = {key: at for key, at in certain_at.items() if at > pass_started_at}
            if not waiting or time.monotonic() - started_at > self.timeout_seconds:
                confirmed = [one.violation for key, one in suspected.items() if key not in waiting]
                return confirmed, [suspected[key].violation for key in waiting]
            await asyncio.sleep(max(max(waiting.values()) - time.monotonic(), 0))
            pass_started_at = time.monotonic()
            suspected = _still_suspected(suspected, await self._run_pass(facts_db, streams))

    async def _run_pass(self, facts_db: FactDatabase, streams: StreamReader) -> list[Violation]:
        """Reads everything once, in the order that makes every confirmation newer than what it confirms."""
        self.passes += 1
        facts_db.drop_tables(keep=("event", "audit_anchor", FILE_FACTS.name))
        await streams.read_positions()
        await streams.read_audit_anchors(self.on_progress)
        violations: list[Violation] = []
        for service in self._services():
            violations += await self._read_store(service, facts_db)
        await streams.read_events(self.on_progress)
        await streams.read_invoice_files(self.on_progress)
        for service, dsn in self.target.stores.postgres.items():
            await store_readers.read_inbox(dsn, service, facts_db, self.on_progress)
        violations += await asyncio.to_thread(self._run_cross_store_checks, facts_db)
        return self._truncate(violations)

    async def _read_store(self, service: str, facts_db: FactDatabase) -> Sequence[Violation]:
        stores, checks = self.target.stores, SERVICE_CHECKS[service]
        if service in stores.postgres:
            return await store_readers.read_postgres(stores.postgres[service], checks, facts_db, self.on_progress)
        await store_readers.read_mongo(stores, checks, facts_db, self.on_progress)
        return ()

    def _run_cross_store_checks(self, facts_db: FactDatabase) -> list[Violation]:
        now = int(time.time())
        values = {"late": now - int(self.late_seconds), "horizon": now - (RETENTION_DAYS - 1) * DAY_SECONDS}
        facts_db.prepare(PREPARATION_SQL)
        violations: list[Violation] = []
        for check in CROSS_STORE_CHECKS:
            violations += facts_db.run_check(check, values)
            self.on_progress("checks", 1)
        return violations

    def _truncate(self, violations: list[Violation]) -> list[Violation]:
        """Keeps at most `MAX_VIOLATIONS_PER_CHECK` violations of each check and service."""
        reported: list[Violation] = []
        counts: Counter[tuple[str, str]] = Counter()
        for violation in violations:
            group = violation.check, violation.ids.get("service", "")
            counts[group] += 1
            if counts[group] <= MAX_VIOLATIONS_PER_CHECK:
                reported.append(violation)
            else:
                self.truncated_checks.add(violation.check)
        return reported


def _still_suspected(
    suspected: dict[ViolationKey, SuspectedViolation], found: Sequence[Violation]
) -> dict[ViolationKey, SuspectedViolation]:
    """The suspected violations that were found again; one whose detail has changed starts anew."""
    now = time.monotonic()
    still: dict[ViolationKey, SuspectedViolation] = {}
    for violation in found:
        before = suspected.get(_key(violation))
        if before is not None:
            still[_key(violation)] = before if before.violation == violation else SuspectedViolation(violation, now)
    return still


def _key(violation: Violation) -> ViolationKey:
    return violation.check, *violation.ids.values()


def _sort_key(violation: Violation) -> tuple[int, str, ViolationKey]:
    return violation.invariant, violation.check, _key(violation)
