"""Waits until the shop is quiet: all pending work is done or has passed its deadline."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

import asyncpg
import nats.errors
from nats.js.errors import Error as JetStreamError

from contracts.registry import SERVICES
from infra.messaging.topology import consumers_for
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES
from tests.chaos.delivery_faults import DeliveryFaults

QUIESCENCE_TIMEOUT_SECONDS = 90.0
POLL_SECONDS = 1.0

OUTBOX_QUERY = "SELECT count(*) FROM outbox"
PENDING_QUERIES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "user": {"erasures": "SELECT count(*) FROM erasure WHERE done_at IS NULL"},
        "order": {"pending orders": "SELECT count(*) FROM orders WHERE status = 'pending'"},
        "payment": {
            "attempts": "SELECT count(*) FROM attempt",
            "refunds": "SELECT count(*) FROM refund WHERE status = 'pending'",
            "payments under way": "SELECT count(*) FROM payment WHERE status IN ('processing', 'requires_action')",
        },
        "catalog": {
            "unsettled holds": "SELECT count(*) FROM hold WHERE wanted <> taken",
            "running holds": "SELECT count(*) FROM hold WHERE status = 'held'",
            "imports": "SELECT count(*) FROM import_job WHERE status IN ('queued', 'running')",
        },
    }
)
"""Queries that count pending work, by service."""


@dataclass(frozen=True)
class Quiescence:
    """How long it took, and the work that was still pending at the end."""

    seconds: float
    pending: Mapping[str, int]


async def wait_until_quiet(
    stack: Stack, deliveries: DeliveryFaults, timeout_seconds: float = QUIESCENCE_TIMEOUT_SECONDS
) -> Quiescence:
    started_at = time.monotonic()
    await _all_ready(stack, timeout_seconds)
    left: Mapping[str, int] = {"everything": 1}
    calm = 0
    while time.monotonic() - started_at < timeout_seconds and calm < 2:
        await asyncio.sleep(POLL_SECONDS)
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, nats.errors.Error, JetStreamError):
            left = await pending_work(stack, deliveries)
            calm = calm + 1 if not left else 0  # twice in a row: between two stores, work is in neither for a moment
    return Quiescence(time.monotonic() - started_at, left)


async def _all_ready(stack: Stack, within: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            for name in stack.processes:
                await stack.wait_until_ready(name)


async def pending_work(stack: Stack, deliveries: DeliveryFaults) -> dict[str, int]:
    """Pending work by kind; empty if the shop is quiet."""
    found: dict[str, int] = {}
    for service in SERVICES:
        if SERVICE_STORES[service] == "postgres":
            found |= await _in_store(stack, service)
        for consumer in consumers_for(service):
            info = await deliveries.js.consumer_info(consumer.stream, service)
            found[f"{consumer.stream} for {service}"] = (info.num_pending or 0) + (info.num_ack_pending or 0)
    return {what: count for what, count in found.items() if count}


async def _in_store(stack: Stack, service: str) -> dict[str, int]:
    connection = await asyncpg.connect(stack.dsn(service), timeout=5)
    try:
        arguments = {f"outbox of {service}": OUTBOX_QUERY, **PENDING_QUERIES.get(service, {})}
        return {what: await connection.fetchval(statement) for what, statement in arguments.items()}
    finally:
        await connection.close()
