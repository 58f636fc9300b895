"""Repairs violations that have exactly one right repair. The owning service decides and acts; this module requests it.

Every repair can be repeated: a service repairs what it finds wrong now, an event that was applied has no second effect,
and whichever relay holds the lock publishes the outbox in order.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

import orjson
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from contracts import headers
from contracts.failure import Fail
from contracts.model import Model
from contracts.operation import AnyOperation
from contracts.operator_redelivery import RedeliverEvent
from contracts.registry import OPERATIONS
from infra.database.advisory_locks import AdvisoryLock
from infra.database.checks import RepairAction, RepairBy, Violation
from infra.messaging.redelivery_client import RedeliveryClient
from infra.messaging.rpc_client import RpcClient
from infra.ops.verify.runner import VerifyTarget, connect_as_operator
from infra.ops.verify.store_readers import connect

BATCH_SIZE = 50
RPC_TIMEOUT_SECONDS = 30.0
RELAY_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.25

_COUNT_OVERDUE = "SELECT count(*) FROM outbox WHERE created_at < now() - interval '60 seconds'"
_END_LOCK_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = 0 AND objid = $1 AND granted
"""


@dataclass(frozen=True, slots=True)
class RepairAttempt:
    """What was done about one item, or why nothing could be done."""

    check: str
    id: str
    result: str


async def repair_violations(target: VerifyTarget, violations: Sequence[Violation]) -> list[RepairAttempt]:
    """Requests every possible repair, grouped by kind, service and check."""
    async with connect_as_operator(target) as client:
        repairable = [violation for violation in violations if violation.repair]
        return [attempt async for attempt in _repair_groups(client, target, repairable)]


async def _repair_groups(
    client: Client, target: VerifyTarget, violations: Sequence[Violation]
) -> AsyncIterator[RepairAttempt]:
    rpc, redelivery = RpcClient(client, timeout_seconds=RPC_TIMEOUT_SECONDS), RedeliveryClient(client)
    for (repair_by, service, check), group in groupby(sorted(violations, key=_group), key=_group):
        if repair_by is RepairBy.RELAY:
            yield await _free_relay(client, target, service, check)
        elif repair_by is RepairBy.REDELIVER:
            for violation in group:
                yield await _redeliver(client, redelivery, violation)
        else:
            for batch in _batches(list(group)):
                for attempt in await _repair_by_service(rpc, service, batch):
                    yield attempt


def _group(violation: Violation) -> tuple[RepairBy, str, str]:
    repair = _repair_of(violation)
    return repair.by, repair.service or violation.ids["service"], violation.check


def _batches(violations: Sequence[Violation]) -> Iterator[Sequence[Violation]]:
    for start in range(0, len(violations), BATCH_SIZE):
        yield violations[start : start + BATCH_SIZE]


def _repair_of(violation: Violation) -> RepairAction:
    assert violation.repair, "only violations with a repair get here"
    return violation.repair


async def _repair_by_service(rpc: RpcClient, service: str, violations: Sequence[Violation]) -> list[RepairAttempt]:
    """Requests the service's `repair` operation for the items of one check."""
    repair, check = _repair_of(violations[0]), violations[0].check
    ids = sorted({violation.ids[repair.id_column] for violation in violations if violation.ids[repair.id_column]})
    field = "skus" if repair.id_column == "sku" else "ids"
    body: dict[str, Any] = {field: ids, **({"say": True} if repair.by is RepairBy.REPUBLISH else {})}
    try:
        reply = await _request(rpc, _repair_operation(service), body)
    except Fail as fail:
        return [RepairAttempt(check, item_id, f"could not be repaired: {fail.code}") for item_id in ids]
    items = [*getattr(reply, "items", ()), *getattr(reply, "skus", ())]
    return [
        RepairAttempt(check, str(getattr(item, "id", None) or item.sku), step)
        for item in items
        for step in item.did or ["nothing: there is no single right repair"]
    ]


def _repair_operation(service: str) -> AnyOperation:
    return next(one for one in OPERATIONS if one.service == service and one.name == "repair")


async def _request(rpc: RpcClient, operation: AnyOperation, body: dict[str, Any]) -> Model:
    reply: Model = await rpc.request(operation, operation.request.model_validate_json(orjson.dumps(body)))
    return reply


async def _redeliver(client: Client, redelivery: RedeliveryClient, violation: Violation) -> RepairAttempt:
    """Sends an event from its stream to the service that missed it."""
    service, sequence = violation.ids["service"], int(violation.ids["sequence"])
    event_name = f"{violation.ids['stream']} {sequence}"
    try:
        message = await client.jetstream().get_msg(violation.ids["stream"], sequence)
    except NotFoundError:
        return RepairAttempt(violation.check, event_name, "could not be repaired: the event is no longer in its stream")
    carried = message.headers or {}
    event = RedeliverEvent(
        id=UUID(carried.get(headers.EVENT_ID)),
        type=carried.get(headers.EVENT_TYPE, ""),
        data=(message.data or b"").decode(),
        subject=message.subject,
        traceparent=carried.get(headers.TRACEPARENT),
        request_id=carried.get(headers.REQUEST_ID),
    )
    try:
        outcome = await redelivery.redeliver(service, event)
    except Fail as fail:
        return RepairAttempt(violation.check, event_name, f"could not be repaired: {fail.code}")
    return RepairAttempt(violation.check, event_name, f"redelivered to {service}: {outcome}")


async def _free_relay(client: Client, target: VerifyTarget, service: str, check: str) -> RepairAttempt:
    """Wakes the relay; ends the session of a relay that holds the lock and makes no progress."""
    await client.publish(f"wake.{service}")
    await client.flush()
    async with connect(target.stores.postgres[service]) as connection:
        if await _makes_progress(connection):
            return RepairAttempt(check, service, "the relay was woken")
        ended = await connection.fetchval(_END_LOCK_SESSIONS, AdvisoryLock.OUTBOX_RELAY)
        await client.publish(f"wake.{service}")
        has_progress = await _makes_progress(connection)
    after = "the next relay publishes" if has_progress else "no row has been published yet"
    return RepairAttempt(check, service, f"ended {ended} sessions that held the relay's lock; {after}")


async def _makes_progress(connection: Any) -> bool:
    """Whether the number of overdue rows falls within `RELAY_TIMEOUT_SECONDS`."""
    before = await connection.fetchval(_COUNT_OVERDUE)
    deadline = asyncio.get_running_loop().time() + RELAY_TIMEOUT_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        left = await connection.fetchval(_COUNT_OVERDUE)
        if not left or left < before:
            return True
    return False
