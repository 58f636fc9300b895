"""Batches of events: one that fails costs the others little, and a lost acknowledgement has no second effect."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from infra.database.postgres import Database
from infra.messaging.consumer import ApplyEvent
from infra.messaging.event_parser import ReceivedEvent
from infra.messaging.nats_client import NatsClient
from infra.runtime.service import ServiceParts
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import EVENT_HANDLERS, HandlerProbe, payment_captured, publish_event
from tests.support.eventually import eventually


@pytest.fixture
async def probe(kernel: KernelStack) -> AsyncIterator[HandlerProbe]:
    probe = HandlerProbe()
    async with kernel.serve(lambda _resources: ServiceParts(probe), event_handlers=EVENT_HANDLERS):
        yield probe


async def test_one_bad_event_of_a_batch_costs_few_transactions(
    probe: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed batch is halved until the bad event is alone; it is retried, and the others are applied at once."""
    sizes: list[int] = []
    apply = Database.apply

    async def count(self: Database, events: Sequence[ReceivedEvent], apply_event: ApplyEvent) -> Any:
        sizes.append(len(events))
        return await apply(self, events, apply_event)

    monkeypatch.setattr(Database, "apply", count)
    first, bad = payment_captured(), payment_captured()
    good = [payment_captured() for _ in range(63)]
    probe.behavior[first.payment_id], probe.behavior[bad.payment_id] = "wait", "always fail"
    await publish_event(kernel_client, first)
    await eventually(lambda: probe.attempts[first.payment_id])
    await asyncio.gather(*(publish_event(kernel_client, event) for event in (*good[:40], bad, *good[40:])))
    probe.gate.set()
    await eventually(lambda: all(probe.applied[event.payment_id] == 1 for event in (first, *good)))
    probe.behavior[bad.payment_id] = ""
    await eventually(lambda: probe.applied[bad.payment_id] == 1)
    assert max(sizes) >= 32
    assert len(sizes) < 32


async def test_event_applied_before_its_process_ended_is_acknowledged_when_it_comes_again(
    probe: HandlerProbe, kernel_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction has committed, and no acknowledgement has left: JetStream delivers the event again."""
    acknowledge = NatsClient.acknowledge
    delivered_again: list[Msg] = []

    async def lose(client: NatsClient, messages: Sequence[Msg]) -> None:
        monkeypatch.setattr(NatsClient, "acknowledge", acknowledge)
        delivered_again.extend(messages)
        for message in messages:
            await message.nak()

    monkeypatch.setattr(NatsClient, "acknowledge", lose)
    event = payment_captured()
    await publish_event(kernel_client, event)
    await eventually(lambda: probe.applied[event.payment_id] and delivered_again)

    async def is_acknowledged() -> bool:
        info = await kernel_client.jetstream().consumer_info("PAYMENT", "order")
        return info.num_ack_pending == 0 and info.num_redelivered == 0

    await eventually(is_acknowledged)
    assert probe.applied[event.payment_id] == 1
