"""`souk replay` against the whole shop: handled events change nothing, and lost effects are rebuilt.

Search and the prices in carts do not derive from events; a test states that.
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
from infra.messaging.redelivery_client import RedeliveryClient
from infra.messaging.replay import Replay, ReplayInterrupted, TimeRange
from infra.messaging.topology import consumers_for
from infra.ops.devstack.mail_files import ReceivedMail
from infra.ops.devstack.stack import Stack
from tests.infra.conftest import KernelStack
from tests.infra.messaging.test_consumer import payment_captured, publish_event
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, RegisteredCustomer
from tests.support.rpc import RpcCaller
from tests.support.souk_command import run_souk

Products = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
POSTGRES_SERVICES = tuple(sorted(set(REDELIVER) - {"cart"}))
TRANSIENT_TABLES = {"outbox", "idempotency", "stuck", "product_change"}
"""Tables whose rows are deleted soon."""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


@pytest.fixture
def started_at() -> str:
    """Returns the start of the test for `--since`, which leaves out invalid events of other tests."""
    return datetime.now(UTC).isoformat()


async def replay(stack: Stack, service: str, *arguments: str) -> dict[str, int]:
    """Returns how many events had each outcome."""
    code, output = await run_souk("replay", "--service", service, *arguments, "--data", str(stack.settings.data))
    assert code == 0, output
    figures = re.search(r"Refused\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", output)
    assert figures, output
    return dict(zip(("events", "applied", "known", "ignored", "refused"), map(int, figures.groups()), strict=True))


class PaidOrder:
    """A paid order from a cart, whose mails are sent."""

    def __init__(self, customer: RegisteredCustomer, product: Product, order: dict[str, Any]) -> None:
        self.customer = customer
        self.product = product
        self.id = UUID(order["id"])

    async def status(self) -> str:
        return str((await self.customer.http.get(f"/orders/{self.id}")).json["status"])


@pytest.fixture
def buy(customer: RegisteredCustomer, new_product: Products) -> Callable[[], Awaitable[PaidOrder]]:
    async def bought() -> PaidOrder:
        product = await new_product(stock=10)
        added = await customer.http.post("/carts/mine/items", {"sku": product.variants[0].sku, "quantity": 2})
        assert added.status < 300, added.body
        body = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
        placed = await customer.http.post("/orders", body)
        assert placed.status == 201, placed.body
        order = PaidOrder(customer, product, placed.json)
        await eventually(lambda: _is(order, "paid"))
        return order

    return bought


async def _is(order: PaidOrder, status: str) -> bool:
    return await order.status() == status


async def wait_until_idle(operator: RpcCaller, database: Databases) -> None:
    """Waits until every event is handled and nothing waits to be published or sent."""
    js = operator.client.jetstream()

    async def is_idle() -> bool:
        for consumer in (one for service in REDELIVER for one in consumers_for(service)):
            info = await js.consumer_info(consumer.stream, consumer.service)
            if info.num_pending or info.num_ack_pending:
                return False
        unpublished = [await (await database(one)).fetchval("SELECT count(*) FROM outbox") for one in POSTGRES_SERVICES]
        unsold = await (await database("catalog")).fetchval("SELECT count(*) FROM hold WHERE wanted <> taken")
        unsent = await (await database("notification")).fetchval("SELECT count(*) FROM delivery WHERE status='queued'")
        return not any((*unpublished, unsold, unsent))

    await eventually(is_idle, timeout_seconds=30)


async def table_digests(database: Databases, mongo: Any) -> dict[str, str]:
    """Returns a digest of each table and collection of the services."""
    found = {}
    for service in POSTGRES_SERVICES:
        connection = await database(service)
        for (table,) in await connection.fetch(TABLES):
            if table not in TRANSIENT_TABLES:
                rows = await connection.fetch(f"SELECT t::text AS row FROM {table} t ORDER BY 1")  # noqa: S608 - our own
                found[f"{service}.{table}"] = _digest(row["row"] for row in rows)
    found["cart.carts"] = _digest([str(one) async for one in mongo.carts.find().sort("_id")])
    return found


def _digest(rows: Any) -> str:
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


async def delete_inbox_rows(connection: asyncpg.Connection, operator: RpcCaller, aggregate: UUID, *names: str) -> None:
    """Deletes the inbox rows of these events, as if they had been handled after the backup."""
    ids = await event_ids(operator, aggregate, names)
    assert await connection.execute("DELETE FROM inbox WHERE event_id = ANY($1)", ids) == f"DELETE {len(ids)}"


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


async def test_events_already_handled_change_nothing(
    stack: Stack,
    buy: Callable[[], Awaitable[PaidOrder]],
    operator: RpcCaller,
    database: Databases,
    mongo: Any,
    mails: Callable[[str], list[ReceivedMail]],
    started_at: str,
) -> None:
    """Replays all events to all services. Only the event ids prevent a second effect, not JetStream's deduplication."""
    orders = [await buy() for _ in range(3)]
    for _ in range(2):
        body = {"sku": orders[0].product.variants[0].sku, "quantity": 1}
        assert (await orders[0].customer.http.post("/carts/mine/items", body)).status < 300
    await wait_until_idle(operator, database)
    before, sent = await table_digests(database, mongo), len(mails(orders[0].customer.email))
    for service in REDELIVER:
        outcomes = await replay(stack, service, "--since", started_at)
        assert outcomes["events"] >= 3
        assert (outcomes["applied"], outcomes["refused"]) == (0, 0)
    await wait_until_idle(operator, database)
    assert await table_digests(database, mongo) == before
    assert len(mails(orders[0].customer.email)) == sent


async def test_lost_mails_of_notification_are_rebuilt(
    stack: Stack, buy: Callable[[], Awaitable[PaidOrder]], operator: RpcCaller, database: Databases, started_at: str
) -> None:
    order = await buy()
    await wait_until_idle(operator, database)
    connection = await database("notification")
    columns = "SELECT kind, channel, status, subject, facts, user_id FROM delivery WHERE order_id = $1 ORDER BY kind"
    before = await connection.fetch(columns, order.id)
    assert len(before) == 2
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", order.id)
    await delete_inbox_rows(connection, operator, order.id, "placed", "paid")
    outcomes = await replay(stack, "notification", "--since", started_at)
    assert outcomes["applied"] == 2
    await wait_until_idle(operator, database)
    assert await connection.fetch(columns, order.id) == before


async def test_a_lost_sale_in_catalog_is_rebuilt(
    stack: Stack,
    buy: Callable[[], Awaitable[PaidOrder]],
    operator: RpcCaller,
    database: Databases,
    rpc: RpcCaller,
    admin: Identity,
    started_at: str,
) -> None:
    """The hold is as before the payment. The replay sells it once."""
    order = await buy()
    await wait_until_idle(operator, database)
    sku = order.product.variants[0].sku
    connection = await database("catalog")
    async with connection.transaction():
        await connection.execute("UPDATE hold SET status = 'held', taken = 'reserved' WHERE order_id = $1", order.id)
        await connection.execute("UPDATE stock SET on_hand = on_hand + 2, reserved = reserved + 2 WHERE sku = $1", sku)
        await connection.execute("DELETE FROM stock_movement WHERE sku = $1 AND kind = 'sold'", sku)
    await delete_inbox_rows(connection, operator, order.id, "paid")
    for applied in (1, 0):
        assert (await replay(stack, "catalog", "--since", started_at, "--stream", "order"))["applied"] == applied
    await wait_until_idle(operator, database)
    level = await rpc(catalog.GET_STOCK, {"sku": sku}, identity=admin)
    assert (level.on_hand, level.reserved) == (8, 0)


async def test_a_restored_order_becomes_paid_and_its_mail_is_sent_once(
    stack: Stack,
    buy: Callable[[], Awaitable[PaidOrder]],
    operator: RpcCaller,
    database: Databases,
    events: EventRecorder,
    mails: Callable[[str], list[ReceivedMail]],
    started_at: str,
) -> None:
    """The order publishes `paid` again, since it cannot know who has handled it. Subscribers ignore it."""
    order = await buy()
    await wait_until_idle(operator, database)
    connection, sent = await database("order"), len(mails(order.customer.email))
    payment_id = await connection.fetchval("SELECT payment_id FROM orders WHERE id = $1", order.id)
    await connection.execute("UPDATE orders SET status = 'pending', payment_id = NULL WHERE id = $1", order.id)
    await delete_inbox_rows(connection, operator, payment_id, "captured")
    assert (await replay(stack, "order", "--since", started_at))["applied"] == 1
    assert await order.status() == "paid"
    await wait_until_idle(operator, database)
    assert events.event_names(order.id).count("paid") == 2
    assert len(mails(order.customer.email)) == sent


async def test_a_restored_cart_is_emptied_again(
    stack: Stack,
    buy: Callable[[], Awaitable[PaidOrder]],
    operator: RpcCaller,
    database: Databases,
    mongo: Any,
    started_at: str,
) -> None:
    order = await buy()
    await wait_until_idle(operator, database)
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
        assert (await replay(stack, "cart", "--since", started_at))["applied"] == applied
    cart = await mongo.carts.find_one(owner)
    assert (cart["lines"], cart["ordered"]) == ([], [Binary.from_uuid(order.id)])


async def test_a_dry_run_only_counts(
    stack: Stack, buy: Callable[[], Awaitable[PaidOrder]], operator: RpcCaller, database: Databases, started_at: str
) -> None:
    order = await buy()
    await wait_until_idle(operator, database)
    connection = await database("notification")
    await connection.execute("DELETE FROM delivery WHERE order_id = $1", order.id)
    await delete_inbox_rows(connection, operator, order.id, "placed", "paid")
    data = str(stack.settings.data)
    command = ("replay", "--service", "notification", "--stream", "order", "--dry-run", "--data", data)
    code, output = await run_souk(*command, "--since", started_at)
    assert (code, output.strip()) == (0, "notification would get 2 events.")
    code, output = await run_souk(*command, "--until", started_at, "--since", started_at)
    assert (code, output.strip()) == (0, "notification would get 0 events.")
    assert await connection.fetchval("SELECT count(*) FROM delivery WHERE order_id = $1", order.id) == 0


async def test_refused_events_are_listed(stack: Stack, operator: RpcCaller, started_at: str) -> None:
    header = {headers.EVENT_TYPE: "souk.payment.captured", headers.EVENT_ID: str(new_id())}
    await operator.client.jetstream().publish(f"event.payment.{new_id()}.captured", b"{}", headers=header)
    code, output = await run_souk(
        "replay", "--service", "order", "--since", started_at, "--data", str(stack.settings.data)
    )
    assert code == 1
    assert "1 refused" in output
    assert "invalid" in output


async def test_an_unavailable_service_interrupts_the_replay(kernel: KernelStack, kernel_client: Client) -> None:
    """At once, instead of after a timeout for each event."""
    for _ in range(3):
        await publish_event(kernel_client, payment_captured())
    (consumer,) = [one for one in consumers_for("order") if one.stream == "PAYMENT"]
    job = Replay(kernel_client, "order", TimeRange())
    job.redelivery = RedeliveryClient(kernel_client, retry_for_seconds=0.1)
    with pytest.raises(ReplayInterrupted, match="order does not reply"):
        await job.replay_stream(consumer, lambda _count: None)


async def test_invalid_arguments_get_a_clear_error(stack: Stack) -> None:
    code, output = await run_souk("replay", "--service", "user", "--data", str(stack.settings.data))
    assert code == 1
    assert "No service 'user' subscribes to events" in output
    code, output = await run_souk("replay", "--service", "cart", "--stream", "user", "--data", str(stack.settings.data))
    assert code == 1
    assert "Choose one of ORDER" in output


def test_search_and_cart_prices_do_not_derive_from_events() -> None:
    """No subscriber derives them from product events. If that changes, `souk replay` has to rebuild them."""
    assert {event.service for event in SUBSCRIPTIONS["catalog"]} == {"order"}
    assert {event.service for event in SUBSCRIPTIONS["cart"]} == {"order"}


async def test_search_words_are_a_generated_column(database: Databases, new_product: Products) -> None:
    """PostgreSQL derives the arguments from the product's own row."""
    await new_product()
    generated = "SELECT count(*) FROM pg_attribute WHERE attgenerated = 's' AND atttypid = 'tsvector'::regtype"
    assert await (await database("catalog")).fetchval(generated) > 0
