"""Provisioning: streams and consumers are created, corrected when they differ, and required at the start."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from contracts.registry import EVENTS, SERVICES, SUBSCRIPTIONS
from infra.messaging import provisioning, topology
from infra.messaging.topology import NotProvisioned, parse_delivery
from tests.infra.conftest import KernelStack


async def provision(kernel: KernelStack) -> list[str]:
    return await provisioning.provision(kernel.stack.nats_url, kernel.stack.nats_password("operator"))


async def test_second_run_changes_nothing(kernel: KernelStack) -> None:
    await provision(kernel)
    assert await provision(kernel) == []


async def test_every_event_has_a_stream_and_every_subscription_a_consumer(
    kernel: KernelStack, kernel_client: Client
) -> None:
    await provision(kernel)
    js = kernel_client.jetstream()
    for event in EVENTS:
        assert await js.find_stream_name_by_subject(f"event.{event.service}.x.{event.name}") == event.service.upper()
    for service in SERVICES:
        await topology.require_provisioned(kernel_client, service)
    for service, events in SUBSCRIPTIONS.items():
        for event in events:
            info = await js.consumer_info(event.service.upper(), service)
            assert event.subject_pattern() in (info.config.filter_subjects or [info.config.filter_subject])


async def test_missing_consumer_is_reported_and_created(kernel: KernelStack, kernel_client: Client) -> None:
    js = kernel_client.jetstream()
    await js.delete_consumer("ORDER", "notification")
    with pytest.raises(NotProvisioned, match="souk provision"):
        await topology.require_provisioned(kernel_client, "notification")
    assert await provision(kernel) == ["consumer notification of ORDER created"]
    await topology.require_provisioned(kernel_client, "notification")


async def test_differing_consumer_is_reported_and_updated(kernel: KernelStack, kernel_client: Client) -> None:
    js = kernel_client.jetstream()
    (consumer,) = topology.consumers_for("cart")
    differing: ConsumerConfig = topology.consumer_config(consumer).evolve(max_deliver=3)
    await js.add_consumer("ORDER", differing)
    with pytest.raises(NotProvisioned, match="max_deliver"):
        await topology.require_provisioned(kernel_client, "cart")
    assert await provision(kernel) == ["consumer cart of ORDER updated"]
    await topology.require_provisioned(kernel_client, "cart")


async def test_a_consumer_keeps_its_place_when_its_events_change(kernel: KernelStack, kernel_client: Client) -> None:
    """It delivers what comes after that, and once more what was not acknowledged, whatever event that was."""
    js = kernel_client.jetstream()
    (consumer,) = topology.consumers_for("cart")
    config: ConsumerConfig = topology.consumer_config(consumer).evolve(filter_subjects=["event.order.*.placed"])
    await js.delete_consumer("ORDER", "cart")
    await js.purge_stream("ORDER")
    await js.add_consumer("ORDER", config)
    delivered: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await kernel_client.subscribe(consumer.deliver_subject, queue="cart", cb=delivered.put)
    for subject in ("one.placed", "one.paid", "two.placed"):
        await js.publish(f"event.order.{subject}", b"{}")
    one, two = [await asyncio.wait_for(delivered.get(), 10) for _ in range(2)]
    await one.ack_sync()

    assert await provision(kernel) == ["consumer cart of ORDER updated"]

    await js.publish("event.order.two.paid", b"{}")
    await two.nak()
    later = {(await asyncio.wait_for(delivered.get(), 10)).subject for _ in range(2)}
    assert later == {"event.order.two.placed", "event.order.two.paid"}
    assert delivered.empty()
    await subscription.unsubscribe()
    await js.delete_consumer("ORDER", "cart")
    await js.purge_stream("ORDER")
    await provision(kernel)


async def test_differing_stream_is_updated(kernel: KernelStack, kernel_client: Client) -> None:
    js = kernel_client.jetstream()
    config = (await js.stream_info("USER")).config
    await js.update_stream(config.evolve(max_age=60, duplicate_window=30))
    assert await provision(kernel) == ["stream USER updated"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("$JS.ACK.ORDER.catalog.1.42.7.1700000000000000000.3", ("ORDER", "catalog", 42)),
        ("$JS.ACK.hub.ACCOUNT.ORDER.catalog.1.42.7.1700000000000000000.3", ("ORDER", "catalog", 42)),
        ("$JS.ACK._.ACCOUNT.ORDER.catalog.1.42.7.1700000000000000000.3.token", ("ORDER", "catalog", 42)),
        ("$JS.ACK.ORDER.catalog", None),
        ("_INBOX_order.ACK.ORDER.catalog.1.42.7.1700000000000000000.3", None),
        ("", None),
    ],
)
def test_the_reply_subject_of_an_event_says_who_delivered_it(reply: str, expected: tuple[str, str, int] | None) -> None:
    assert parse_delivery(reply) == expected
