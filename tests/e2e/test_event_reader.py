"""A program outside Souk reads events with plain nats-py, as a user made by `souk provision --reader`."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import BadRequestError, NotFoundError

from contracts.catalog import Product
from contracts.registry import OPERATIONS, SERVICES, SUBSCRIPTIONS
from infra.messaging import connection
from infra.messaging.topology import consumers_for
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, RegisteredCustomer
from tests.support.souk_command import run_souk

NewProduct = Callable[..., Awaitable[Product]]

SUBJECTS_THAT_ACT = (
    *(operation.subject for operation in OPERATIONS),
    *(consumer.deliver_subject for service in SUBSCRIPTIONS for consumer in consumers_for(service)),
    *(f"wake.{service}" for service in SERVICES),
    *(f"event.{service}.019a0000-0000-7000-8000-000000000000.paid" for service in SERVICES),
    *(f"dead.{service}.ORDER" for service in SERVICES),
    "counts.edge",
    "$KV.ENDED.019a0000-0000-7000-8000-000000000000",
    "$O.UPLOADS.M.x",
    "$JS.SHOP.API.CONSUMER.CREATE.ORDER",
    "$JS.SHOP.API.CONSUMER.CREATE.ORDER.x",
    "$JS.API.STREAM.DELETE.ORDER",
    "$JS.API.STREAM.CREATE.MINE",
)
"""The subjects on which services and NATS act: requests, events, counts, revocations, and deliveries to services."""
MIRROR_TIMEOUT_SECONDS = 60.0
"""A mirror whose request is lost in a reload of NATS repeats it after 30 seconds, which no setting changes."""


async def provision(stack: Stack, *arguments: str) -> tuple[int, str]:
    return await run_souk("provision", "--data", str(stack.settings.data), *arguments)


@asynccontextmanager
async def reader_client(stack: Stack, name: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Makes a reader and connects as it. Yields the client, and the permission errors that it hears of."""
    code, output = await provision(stack, "--reader", name)
    assert code == 0, output
    url = re.search(rf"nats://{name}:\S+", output)
    assert url
    errors: list[str] = []

    async def collect_error(error: Exception) -> None:
        errors.append(str(error).lower())

    client = await nats.connect(url[0], error_cb=collect_error)
    try:
        yield client, errors
    finally:
        await client.close()


async def place_order(customer: RegisteredCustomer, new_product: NewProduct) -> str:
    product = await new_product()
    items = [{"sku": product.variants[0].sku, "quantity": 1}]
    body = {"items": items, "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    order = (await customer.http.post("/orders", body)).json
    return str(order["id"])


async def test_a_reader_receives_the_events_of_an_order(
    stack: Stack, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    async with reader_client(stack, "watcher") as (client, errors):
        live = await client.subscribe("event.order.*.*")
        order_id = await place_order(customer, new_product)
        event_headers: dict[str, dict[str, str]] = {}
        while "paid" not in event_headers:
            message = await live.next_msg(timeout=10)
            _, _, aggregate_id, name = message.subject.split(".")
            if aggregate_id == order_id:
                event_headers[name] = message.headers
        assert list(event_headers) == ["placed", "paid"]
        for name, header in event_headers.items():
            assert header["ce-type"] == f"souk.order.{name}"
            assert header["ce-specversion"] == "1.0"
            assert header["ce-source"] == "/souk/order"
            assert header["ce-id"]
            assert header["ce-time"].endswith("Z")
        assert errors == []


async def test_a_reader_has_ordered_and_durable_consumers(
    stack: Stack, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    async with reader_client(stack, "warehouse") as (client, errors):
        js = client.jetstream()
        order_id = await place_order(customer, new_product)
        subject = f"event.order.{order_id}.*"
        ordered = await js.subscribe(subject, stream="ORDER", ordered_consumer=True)
        placed = await ordered.next_msg(timeout=10)
        assert placed.subject.endswith(".placed")
        await ordered.unsubscribe()

        durable = await js.pull_subscribe(subject, durable="packing", stream="ORDER")
        for _ in range(2):
            for message in await durable.fetch(1, timeout=10):
                await message.ack_sync()
        assert (await js.consumer_info("ORDER", "packing")).num_pending == 0
        again = await js.pull_subscribe(subject, durable="packing", stream="ORDER")
        with pytest.raises(nats.errors.TimeoutError):
            await again.fetch(1, timeout=0.3)
        assert await js.delete_consumer("ORDER", "packing")
        assert (await js.get_last_msg("ORDER", f"event.order.{order_id}.placed")).data == placed.data
        assert errors == []


async def test_earlier_readers_go_on_while_others_are_added(
    stack: Stack, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    async with reader_client(stack, "early") as (early, _), reader_client(stack, "late") as (late, _):
        for _ in range(2):
            subject = f"event.order.{await place_order(customer, new_product)}.placed"
            for client in (early, late):
                js = client.jetstream()
                await wait_until_stored(js, subject)
            assert (await provision(stack, "--reader", "later"))[0] == 0


async def test_readers_are_separated(stack: Stack) -> None:
    async with reader_client(stack, "first") as (first, _), reader_client(stack, "second") as (second, _):
        await first.jetstream().add_consumer("ORDER", ConsumerConfig(durable_name="mine"))
        assert await second.jetstream().consumers_info("ORDER") == []
        with pytest.raises(NotFoundError):
            await second.jetstream().delete_consumer("ORDER", "mine")
        assert await first.jetstream().delete_consumer("ORDER", "mine")


async def test_a_reader_may_publish_to_no_subject_of_the_shop(stack: Stack) -> None:
    async with reader_client(stack, "intruder") as (client, errors):
        for subject in SUBJECTS_THAT_ACT:
            await client.publish(subject, b"{}", reply="_INBOX.x")
        await client.flush()
        for subject in SUBJECTS_THAT_ACT:
            await eventually(lambda subject=subject: any(f'"{subject.lower()}"' in error for error in errors))


async def test_what_a_reader_has_delivered_stays_in_its_account(
    stack: Stack, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    """A reader may choose any subject for the messages of a consumer, but the shop does not receive them."""
    received: list[str] = []

    async def record(message: Msg) -> None:
        if (message.headers or {}).get("ce-id") == stored.headers["ce-id"]:
            received.append(message.subject)

    operator = connection.connect(stack.nats_url, "operator", stack.nats_password("operator"))
    async with reader_client(stack, "intruder") as (client, _), operator as shop:
        js = client.jetstream()
        order_id = await place_order(customer, new_product)
        filter_subject = f"event.order.{order_id}.placed"
        await wait_until_stored(js, filter_subject)
        stored = await js.get_last_msg("ORDER", filter_subject)
        consumers = {info.name for info in await shop.jetstream().consumers_info("ORDER")}
        for subject in SUBJECTS_THAT_ACT:
            await shop.subscribe(subject, cb=record)
        await shop.flush()
        fence = await client.subscribe("_INBOX.fence")
        for position, subject in enumerate((*SUBJECTS_THAT_ACT, "_INBOX.fence")):
            config = ConsumerConfig(
                name=f"forged-{position}",
                deliver_subject=subject,
                filter_subject=filter_subject,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=60,
            )
            with suppress(BadRequestError):  # NATS refuses some subjects that begin with $JS
                await js.add_consumer("ORDER", config)
        await fence.next_msg(timeout=10)
        await shop.flush()
        assert received == []
        assert {info.name for info in await shop.jetstream().consumers_info("ORDER")} <= consumers


async def wait_until_stored(js: JetStreamContext, subject: str) -> None:
    async def is_stored() -> bool:
        try:
            await js.get_last_msg("ORDER", subject)
        except NotFoundError:
            return False
        return True

    await eventually(is_stored, timeout_seconds=MIRROR_TIMEOUT_SECONDS)


async def test_a_second_provisioning_changes_nothing(stack: Stack) -> None:
    assert "NATS is up to date." in (await provision(stack))[1]


@pytest.mark.parametrize("name", ["order", "Big", "a b", "x" * 40, "operator"])
async def test_refuses_a_taken_or_invalid_reader_name(stack: Stack, name: str) -> None:
    code, output = await provision(stack, "--reader", name)
    assert code == 1
    assert "cannot be the name of a reader" in output
