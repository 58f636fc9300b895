"""`souk replay` against the whole shop: what is known stays as it is, what is lost comes back.

What a service made from events is rebuilt from them. Search and the prices marked in a cart are not made from events;
there is a test for that too.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from bson.binary import Binary
from nats.aio.client import Client

from contracts import catalog, headers
from contracts.catalog import Product
from contracts.identity import Identity
from contracts.registry import EVENTS, REDELIVER, SUBSCRIPTIONS
from infra.foundation.ids import new_id
from infra.messaging.redelivery import RedeliveryClient
from infra.messaging.replay import Replay, ReplayInterrupted, TimeRange
from infra.messaging.topology import consumers_for
from infra.ops.devstack.mail_files import Mail
from infra.ops.devstack.stack import Stack
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import payment_captured, publish_event
from tests.infra.ops.cli.test_import_products import souk
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, RegisteredCustomer
from tests.support.rpc import RpcCaller

Products = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
KEPT_BY_POSTGRES = tuple(sorted(set(REDELIVER) - {"cart"}))
PASSING = {"outbox", "idempotency", "stuck"}
"""Tables that hold what is on its way, and nothing for long."""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


@pytest.fixture
def began() -> str:
    """When the test began, as `--since` takes it: poison that other tests have left is from before."""
    return datetime.now(UTC).isoformat()


async def replay(stack: Stack, service: str, *words: str) -> dict[str, int]:
    """What became of the events."""
    code, said = await souk("replay", "--service", service, *words, "--data", str(stack.options.data))
    assert code == 0, said
    figures = re.search(r"Refused\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", said)
    assert figures, said
    return dict(zip(("events", "applied", "known", "ignored", "refused"), map(int, figures.groups()), strict=True))


class Bought:
    """An order that came from a cart, was paid and told of."""

    def __init__(self, customer: RegisteredCustomer, product: Product, order: dict[str, Any]) -> None:
        self.customer = customer
        self.product = product
        self.id = UUID(order["id"])

    async def status(self) -> str:
        return str((await self.customer.http.get(f"/orders/{self.id}")).json["status"])


@pytest.fixture
def buy(customer: RegisteredCustomer, new_product: Products) -> Callable[[], Awaitable[Bought]]:
    async def bought() -> Bought:
        product = await new_product(stock=10)
        added = await customer.http.post("/carts/mine/items", {"sku": product.variants[0].sku, "quantity": 2})
        assert added.status < 300, added.body
        body = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
        placed = await customer.http.post("/orders", body)
        assert placed.status == 201, placed.body
        order = Bought(customer, product, placed.json)
        await eventually(lambda: _is(order, "paid"))
        return order

    return bought


async def _is(order: Bought, status: str) -> bool:
    return await order.status() == status


async def quiet(operator: RpcCaller, database: Databases) -> None:
    """Everything said has been heard, and nothing waits to be said or sent."""
    js = operator.client.jetstream()

    async def all_heard() -> bool:
        for consumer in (one for service in REDELIVER for one in consumers_for(service)):
            info = await js.consumer_info(consumer.stream, consumer.service)
            if info.num_pending or info.num_ack_pending:
                return False
        unsaid = [await (await database(one)).fetchval("SELECT count(*) FROM outbox") for one in KEPT_BY_POSTGRES]
        unsold = await (await database("catalog")).fetchval("SELECT count(*) FROM hold WHERE wanted <> taken")
        unsent = await (await database("notification")).fetchval("SELECT count(*) FROM delivery WHERE status='queued'")
        return not any((*unsaid, unsold, unsent))

    await eventually(all_heard, timeout_seconds=30)


async def digests(database: Databases, mongo: Any) -> dict[str, str]:
    """A digest of each table and collection that a service keeps."""
    found = {}
    for service in KEPT_BY_POSTGRES:
        connection = await database(service)
        for (table,) in await connection.fetch(TABLES):
            if table not in PASSING:
                rows = await connection.fetch(f"SELECT t::text AS row FROM {table} t ORDER BY 1")  # noqa: S608 - our own
                found[f"{service}.{table}"] = _digest(row["row"] for row in rows)
    found["cart.carts"] = _digest([str(one) async for one in mongo.carts.find().sort("_id")])
    return found


def _digest(rows: Any) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


async def forget(connection: asyncpg.Connection, operator: RpcCaller, aggregate: UUID, *names: str) -> None:
    """Takes the inbox rows of these events away, as if they had been heard after the backup."""
    said = await event_ids(operator, aggregate, names)
    assert await connection.execute("DELETE FROM inbox WHERE event_id = ANY($1)", said) == f"DELETE {len(said)}"


async def event_ids(operator: RpcCaller, aggregate: UUID, names: tuple[str, ...]) -> list[UUID]:
    js = operator.client.jetstream()
    kinds = {event.name: event for event in EVENTS if event.name in names}
    found = []
    for name in names:
        stream, service = kinds[name].service.upper(), kinds[name].service
        message = await js.get_last_msg(stream, f"event.{service}.{aggregate}.{name}")
        assert message.headers
        found.append(UUID(message.headers[headers.EVENT_ID]))
    return found


async def test_what_is_known_stays_as_it_is(
    stack: Stack,
    buy: Callable[[], Awaitable[Bought]],
    operator: RpcCaller,
    database: Databases,
    mongo: Any,
    mails: Callable[[str], list[Mail]],
    began: str,
) -> None:
    """Everything into everybody, by the ids in the events alone: JetStream's dedupe has no part in it."""
    orders = [await buy() for _ in range(3)]
    for _ in range(2):
        body = {"sku": orders[0].product.variants[0].sku, "quantity": 1}
        assert (await orders[0].customer.http.post("/carts/mine/items", body)).status < 300
    await quiet(operator, database)
    before, sent = await digests(database, mongo), len(mails(orders[0].customer.email))
    for service in REDELIVER:
        became = await replay(stack, service, "--since", began)
        assert became["events"] >= 3
        assert (became["applied"], became["refused"]) == (0, 0)
    await quiet(operator, database)
    assert await digests(database, mongo) == before
    assert len(mails(orders[0].customer.email)) == sent


async def test_what_notification_has_lost_comes_back(
    stack: Stack, buy: Callable[[], Awaitable[Bought]], operator: RpcCaller, database: Databases, began: str
) -> None:
    order = await buy()
    await quiet(operator, database)
    connection = await database("notification")
    columns = "SELECT kind, channel, status, subject, facts, user_id FROM delivery WHERE order_id = $1 ORDER BY kind"
    before = await connection.fetch(columns, order.id)
    assert len(before) == 2
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", order.id)
    await forget(connection, operator, order.id, "placed", "paid")
    became = await replay(stack, "notification", "--since", began)
    assert became["applied"] == 2
    await quiet(operator, database)
    assert await connection.fetch(columns, order.id) == before


async def test_what_the_catalog_has_lost_comes_back(
    stack: Stack,
    buy: Callable[[], Awaitable[Bought]],
    operator: RpcCaller,
    database: Databases,
    ask: RpcCaller,
    admin: Identity,
    began: str,
) -> None:
    """The hold as it was before the order was paid: the replay sells it, once."""
    order = await buy()
    await quiet(operator, database)
    sku = order.product.variants[0].sku
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("UPDATE hold SET status = 'held', taken = 'reserved' WHERE order_id = $1", order.id)
        await connection.execute("UPDATE stock SET on_hand = on_hand + 2, reserved = reserved + 2 WHERE sku = $1", sku)
        await connection.execute("DELETE FROM stock_movement WHERE sku = $1 AND kind = 'sold'", sku)
    await forget(connection, operator, order.id, "paid")
    for applied in (1, 0):
        assert (await replay(stack, "catalog", "--since", began, "--stream", "order"))["applied"] == applied
    await quiet(operator, database)
    level = await ask(catalog.GET_STOCK, {"sku": sku}, identity=admin)
    assert (level.on_hand, level.reserved) == (8, 0)


async def test_an_order_that_was_put_back_is_paid_again_and_told_once(
    stack: Stack,
    buy: Callable[[], Awaitable[Bought]],
    operator: RpcCaller,
    database: Databases,
    events: EventRecorder,
    mails: Callable[[str], list[Mail]],
    began: str,
) -> None:
    """It says so a second time, as it must: nobody knows who heard it. The others make nothing of it."""
    order = await buy()
    await quiet(operator, database)
    connection, sent = await database("order"), len(mails(order.customer.email))
    payment_id = await connection.fetchval("SELECT payment_id FROM orders WHERE id = $1", order.id)
    await connection.execute("UPDATE orders SET status = 'pending', payment_id = NULL WHERE id = $1", order.id)
    await forget(connection, operator, payment_id, "captured")
    assert (await replay(stack, "order", "--since", began))["applied"] == 1
    assert await order.status() == "paid"
    await quiet(operator, database)
    assert events.event_names(order.id).count("paid") == 2
    assert len(mails(order.customer.email)) == sent


async def test_a_cart_that_was_put_back_is_emptied_again(
    stack: Stack, buy: Callable[[], Awaitable[Bought]], operator: RpcCaller, database: Databases, mongo: Any, began: str
) -> None:
    order = await buy()
    await quiet(operator, database)
    owner = {"user_id": Binary.from_uuid(UUID(order.customer.user["id"]))}
    line = {
        "sku": order.product.variants[0].sku,
        "quantity": 2,
        "product_id": Binary.from_uuid(order.product.id),
        "name": "Lamp",
    }
    line |= {"options": [], "price": 1999, "shortage": None}
    put_back = {"$set": {"lines": [line], "ordered": [], "ordered_at": []}, "$inc": {"version": -1}}
    assert (await mongo.carts.update_one(owner, put_back)).modified_count == 1
    for applied in (1, 0):
        assert (await replay(stack, "cart", "--since", began))["applied"] == applied
    cart = await mongo.carts.find_one(owner)
    assert (cart["lines"], cart["ordered"]) == ([], [Binary.from_uuid(order.id)])


async def test_a_dry_run_only_counts(
    stack: Stack, buy: Callable[[], Awaitable[Bought]], operator: RpcCaller, database: Databases, began: str
) -> None:
    order = await buy()
    await quiet(operator, database)
    connection = await database("notification")
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", order.id)
    await forget(connection, operator, order.id, "placed", "paid")
    data = str(stack.options.data)
    command = ("replay", "--service", "notification", "--stream", "order", "--dry-run", "--data", data)
    code, said = await souk(*command, "--since", began)
    assert (code, said.strip()) == (0, "notification would hear 2 events.")
    code, said = await souk(*command, "--until", began, "--since", began)
    assert (code, said.strip()) == (0, "notification would hear 0 events.")
    assert await connection.fetchval("SELECT count(*) FROM delivery WHERE order_id = $1", order.id) == 0


async def test_an_event_that_is_refused_is_told(stack: Stack, operator: RpcCaller, began: str) -> None:
    header = {headers.EVENT_TYPE: "souk.payment.captured", headers.EVENT_ID: str(new_id())}
    await operator.client.jetstream().publish(f"event.payment.{new_id()}.captured", b"{}", headers=header)
    code, said = await souk("replay", "--service", "order", "--since", began, "--data", str(stack.options.data))
    assert code == 1
    assert "1 refused" in said
    assert "invalid" in said


async def test_a_service_that_is_away_ends_the_replay(kernel: KernelStack, kernel_client: Client) -> None:
    """And not each event after its own patience."""
    for _ in range(3):
        await publish_event(kernel_client, payment_captured())
    (consumer,) = [one for one in consumers_for("order") if one.stream == "PAYMENT"]
    job = Replay(kernel_client, "order", TimeRange())
    job.redelivery = RedeliveryClient(kernel_client, retry_for_seconds=0.1)
    with pytest.raises(ReplayInterrupted, match="order does not answer"):
        await job.replay_stream(consumer, lambda _count: None)


async def test_what_cannot_be_done_is_told_plainly(stack: Stack) -> None:
    code, said = await souk("replay", "--service", "user", "--data", str(stack.options.data))
    assert code == 1
    assert "No service that hears events is called 'user'" in said
    code, said = await souk("replay", "--service", "cart", "--stream", "user", "--data", str(stack.options.data))
    assert code == 1
    assert "it hears ORDER" in said


def test_search_and_prices_are_not_made_from_events() -> None:
    """Nobody who searches or marks prices hears of products; where that changes, `souk replay` is what rebuilds it."""
    assert {event.service for event in SUBSCRIPTIONS["catalog"]} == {"order"}
    assert {event.service for event in SUBSCRIPTIONS["cart"]} == {"order"}


async def test_search_is_what_the_products_say(database: Databases, new_product: Products) -> None:
    """The words that are searched are a generated column of the product's own row."""
    await new_product()
    generated = "SELECT count(*) FROM pg_attribute WHERE attgenerated = 's' AND atttypid = 'tsvector'::regtype"
    assert await (await database("catalog")).fetchval(generated) > 0
