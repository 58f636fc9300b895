"""Only allowed callers get a reply, even if a user makes the NATS server deliver a stored message as a request."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts import headers, order
from contracts.model import Empty
from contracts.operation import AnyOperation
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.rpc_client import Request
from infra.runtime.service import ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity

BODIES: dict[AnyOperation, bytes] = {
    order.LIST: b"{}",
    order.REPAIR: b'{"ids":["019a0000-0000-7000-8000-000000000000"]}',
}
"""An operation that trusts the identity of the edge, and one for the operator only."""


class CallCounter:
    """Counts the handled requests, and reads their outcomes from the metrics."""

    def __init__(self) -> None:
        self.identities: list[str] = []
        self.monitor: ConnectionMonitor | None = None

    def outcome_count(self, operation: str, outcome: str) -> float:
        """Returns how many requests of an operation ended with an outcome."""
        assert self.monitor is not None
        labels = {"operation": operation, "outcome": outcome}
        return self.monitor.metrics.registry.get_sample_value("souk_rpc_duration_seconds_count", labels) or 0


@pytest.fixture(scope="module")
async def calls(kernel: KernelStack) -> AsyncIterator[CallCounter]:
    counter = CallCounter()

    async def handle(calls: CallCounter, request: Request[Any]) -> Empty:
        calls.identities.append(str(request.identity))
        return Empty()

    handlers = dict.fromkeys(BODIES, handle)
    async with kernel.serve(lambda _resources: ServiceParts(counter), handlers) as counter.monitor:
        yield counter


async def test_allowed_callers_get_replies(calls: CallCounter, kernel: KernelStack, kernel_rpc: RpcCaller) -> None:
    async with kernel.client("edge") as client:
        await RpcCaller(client).raw(order.LIST, {}, identity=admin_identity())
    await kernel_rpc.raw(order.LIST, {}, identity=admin_identity())
    await kernel_rpc.raw(order.REPAIR, BODIES[order.REPAIR])
    assert len(calls.identities) == 3
    calls.identities.clear()


@pytest.mark.parametrize("operation", BODIES, ids=lambda operation: operation.subject)
async def test_stored_message_is_no_request(calls: CallCounter, kernel: KernelStack, operation: AnyOperation) -> None:
    """The catalog may write to a bucket, and make the server send the entry to a subject that it may not publish to."""
    forged = {headers.IDENTITY: admin_identity().model_dump_json()}
    before = calls.outcome_count(operation.subject, "forbidden")
    async with kernel.client("catalog") as client:
        await client.jetstream().publish("$O.UPLOADS.M.forged", BODIES[operation], stream="OBJ_UPLOADS", headers=forged)
        query = json.dumps({"last_by_subj": "$O.UPLOADS.M.forged"}).encode()
        await client.publish("$JS.API.DIRECT.GET.OBJ_UPLOADS", query, reply=operation.subject)
        await client.publish("$JS.API.DIRECT.GET.OBJ_UPLOADS.$O.UPLOADS.M.forged", b"", reply=operation.subject)
        await client.flush()
        await asyncio.sleep(0)
        await eventually(lambda: calls.outcome_count(operation.subject, "forbidden") > before)
    assert calls.identities == []
