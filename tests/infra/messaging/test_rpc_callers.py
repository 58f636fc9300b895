"""Only those who may ask are answered, whatever the NATS server can be made to send for somebody else."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contracts import headers, order
from contracts.model import Empty
from contracts.operation import AnyOperation
from infra.database.postgres import Database
from infra.foundation.settings import PostgresSettings
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.rpc import Request
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity

ASKS: dict[AnyOperation, bytes] = {order.LIST: b"{}", order.REPAIR: b'{"ids":["019a0000-0000-7000-8000-000000000000"]}'}
"""One that trusts an identity, one that is for the operator."""


class CallCounter:
    """Who was obeyed, and how asks ended."""

    def __init__(self) -> None:
        self.obeyed: list[str] = []
        self.watch: ConnectionMonitor | None = None

    def outcome_count(self, operation: str, outcome: str) -> float:
        assert self.watch is not None
        said = {"operation": operation, "outcome": outcome}
        return self.watch.metrics.registry.get_sample_value("souk_ask_seconds_count", said) or 0


@pytest.fixture(scope="module")
async def throne(kernel: KernelStack) -> AsyncIterator[CallCounter]:
    found = CallCounter()

    async def obey(throne: CallCounter, ask: Request[Any]) -> Empty:
        throne.obeyed.append(str(ask.identity))
        return Empty()

    def build(_kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        return ServiceParts(found, dict.fromkeys(ASKS, obey))

    async with kernel.serve(build) as found.watch:
        yield found


async def test_those_who_may_ask_are_answered(throne: CallCounter, kernel: KernelStack, kernel_ask: RpcCaller) -> None:
    async with kernel.client("edge") as client:
        await RpcCaller(client).raw(order.LIST, {}, identity=admin_identity())
    await kernel_ask.raw(order.LIST, {}, identity=admin_identity())
    await kernel_ask.raw(order.REPAIR, ASKS[order.REPAIR])
    assert len(throne.obeyed) == 3
    throne.obeyed.clear()


@pytest.mark.parametrize("operation", ASKS, ids=lambda one: one.subject)
async def test_a_stored_message_is_no_ask(throne: CallCounter, kernel: KernelStack, operation: AnyOperation) -> None:
    """The catalog may write into a bucket, and have what it wrote sent to a subject that it may not publish."""
    forged = {headers.IDENTITY: admin_identity().model_dump_json()}
    before = throne.outcome_count(operation.subject, "forbidden")
    async with kernel.client("catalog") as client:
        await client.jetstream().publish("$O.UPLOADS.M.forged", ASKS[operation], stream="OBJ_UPLOADS", headers=forged)
        wanted = json.dumps({"last_by_subj": "$O.UPLOADS.M.forged"}).encode()
        await client.publish("$JS.API.DIRECT.GET.OBJ_UPLOADS", wanted, reply=operation.subject)
        await client.publish("$JS.API.DIRECT.GET.OBJ_UPLOADS.$O.UPLOADS.M.forged", b"", reply=operation.subject)
        await client.flush()
        await asyncio.sleep(0)
        await eventually(lambda: throne.outcome_count(operation.subject, "forbidden") > before)
    assert throne.obeyed == []
