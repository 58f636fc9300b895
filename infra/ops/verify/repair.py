"""Mending what has one right answer. Whoever owns the thing decides and does it; here it is only asked for.

Everything asked for can be asked again: a service mends what it finds wrong now, an event that was heard has no second
effect, and an outbox is published in its order by whichever relay holds the lock.
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
from contracts.redelivery import RedeliverEvent
from contracts.registry import OPERATIONS
from infra.database import outbox
from infra.database.checks import RepairBy, Violation
from infra.messaging.redelivery import RedeliveryClient
from infra.messaging.rpc import RpcClient
from infra.ops.verify.runner import VerifyTarget, connect_as_operator
from infra.ops.verify.store_readers import connect

BATCH_SIZE = 50
RPC_TIMEOUT_SECONDS = 30.0
RELAY_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.25

_COUNT = "SELECT count(*) FROM outbox WHERE created_at < now() - interval '60 seconds'"
_END = """
SELECT count(pg_terminate_backend(pid)) FROM pg_locks
WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = 0 AND objid = $1 AND granted
"""


@dataclass(frozen=True, slots=True)
class RepairAttempt:
    """What was done about one thing; or why it could not be."""

    check: str
    id: str
    result: str


async def repair_violations(target: VerifyTarget, violations: Sequence[Violation]) -> list[RepairAttempt]:
    """Asks for everything that can be mended, group by group."""
    async with connect_as_operator(target) as client:
        return [one async for one in _mend(client, target, [one for one in violations if one.repair])]


async def _mend(client: Client, place: VerifyTarget, violations: Sequence[Violation]) -> AsyncIterator[RepairAttempt]:
    asker, handover = RpcClient(client, timeout_seconds=RPC_TIMEOUT_SECONDS), RedeliveryClient(client)
    for (how, service, _), group in groupby(sorted(violations, key=_group), key=_group):
        several = list(group)
        if how is RepairBy.RELAY:
            yield await _free(client, place, several[0].ids["service"], several[0].check)
        elif how is RepairBy.REDELIVER:
            for one in several:
                yield await _hand_over(client, handover, one)
        else:
            for part in _parts(several):
                for done in await _ask(asker, service, part):
                    yield done


def _group(one: Violation) -> tuple[RepairBy, str, str]:
    assert one.repair
    return one.repair.by, one.repair.service or one.ids["service"], one.check


def _parts(several: Sequence[Violation]) -> Iterator[Sequence[Violation]]:
    for start in range(0, len(several), BATCH_SIZE):
        yield several[start : start + BATCH_SIZE]


async def _ask(asker: RpcClient, service: str, several: Sequence[Violation]) -> list[RepairAttempt]:
    """The service itself puts them right."""
    cure = several[0].repair
    assert cure
    ids = sorted({one.ids[cure.id_column] for one in several if one.ids[cure.id_column]})
    name = "skus" if cure.id_column == "sku" else "ids"
    body: dict[str, Any] = {name: ids, **({"say": True} if cure.by is RepairBy.REPUBLISH else {})}
    try:
        reply = await _asked(asker, _operation(service), body)
    except Fail as fail:
        return [RepairAttempt(several[0].check, one, f"could not be mended: {fail.code}") for one in ids]
    items = [*getattr(reply, "items", ()), *getattr(reply, "skus", ())]
    return [
        RepairAttempt(several[0].check, str(getattr(item, "id", None) or item.sku), did)
        for item in items
        for did in item.did or ["nothing: there is no one right answer"]
    ]


def _operation(service: str) -> AnyOperation:
    return next(one for one in OPERATIONS if one.service == service and one.name == "repair")


async def _asked(asker: RpcClient, operation: AnyOperation, body: dict[str, Any]) -> Model:
    reply: Model = await asker.request(operation, operation.request.model_validate_json(orjson.dumps(body)))
    return reply


async def _hand_over(client: Client, handover: RedeliveryClient, one: Violation) -> RepairAttempt:
    """The event, as it is in its stream, to the service that has missed it."""
    service, number = one.ids["service"], int(one.ids["sequence"])
    what = f"{one.ids['stream']} {number}"
    try:
        message = await client.jetstream().get_msg(one.ids["stream"], number)
    except NotFoundError:
        return RepairAttempt(one.check, what, "could not be mended: the event is not in its stream any more")
    said = message.headers or {}
    event = RedeliverEvent(
        id=UUID(said.get(headers.EVENT_ID)),
        type=said.get(headers.EVENT_TYPE, ""),
        data=(message.data or b"").decode(),
        subject=message.subject,
        traceparent=said.get(headers.TRACEPARENT),
        request_id=said.get(headers.REQUEST_ID),
    )
    try:
        outcome = await handover.redeliver(service, event)
    except Fail as fail:
        return RepairAttempt(one.check, what, f"could not be mended: {fail.code}")
    return RepairAttempt(one.check, what, f"handed to {service}: {outcome}")


async def _free(client: Client, place: VerifyTarget, service: str, check: str) -> RepairAttempt:
    """Wakes the relay; one that holds the lock and does not move is made to let it go."""
    await client.publish(f"wake.{service}")
    await client.flush()
    async with connect(place.stores.postgres[service]) as connection:
        if await _moves(connection):
            return RepairAttempt(check, service, "the relay was woken")
        ended = await connection.fetchval(_END, outbox.LOCK)
        await client.publish(f"wake.{service}")
        moves = await _moves(connection)
    after = "the next one moves" if moves else "the rows do not move yet"
    return RepairAttempt(check, service, f"{ended} sessions that held the relay's lock were ended; {after}")


async def _moves(connection: Any) -> bool:
    """Whether rows that have waited for too long become fewer."""
    before = await connection.fetchval(_COUNT)
    ends = asyncio.get_running_loop().time() + RELAY_TIMEOUT_SECONDS
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(POLL_SECONDS)
        left = await connection.fetchval(_COUNT)
        if not left or left < before:
            return True
    return False
