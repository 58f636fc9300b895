"""Limits of guests' orders: by address, by e-mail and by their share of a SKU's stock; and a shorter time to pay."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from contracts import order as contract
from contracts.catalog import GuestStockLimit, OutOfStock, Product
from contracts.identity import Identity
from contracts.order import Order, OrderStatus, PlaceOrder, TooManyGuestOrders
from infra.foundation.ids import new_id
from infra.messaging.idempotency import IdempotencyKey
from infra.messaging.rpc_client import Reply, Request
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.stack import Stack
from services.order.deps import GUEST_ORDER_OUTCOMES, OrderDeps, build_deps
from services.order.domain.guest_limits import mailbox_of, network_of
from services.order.handlers import place
from services.order.handlers.grouped_orders import write_orders
from services.order.settings import OrderSettings
from services.order.store import guest_limits as store
from services.order.workers import guest_limits as worker
from tests.services.order.conftest import NO_GUEST_LIMITS, OrderClient
from tests.support.http import HttpClient
from tests.support.rpc import customer_identity

NewProduct = Callable[..., Awaitable[Product]]
Database = Callable[[str], Awaitable[asyncpg.Connection]]


def limited(deps: OrderDeps, **limits: Any) -> OrderDeps:
    """The dependencies with these limits, and buckets that no other test uses."""
    return replace(deps, guest_limits=replace(NO_GUEST_LIMITS, secret=str(new_id()), **limits))


class Guests:
    """Places orders as guests of the shop."""

    def __init__(self, deps: OrderDeps, client: OrderClient) -> None:
        self.deps = deps
        self.client = client

    async def place(
        self, *lines: tuple[Product, int], ip: str = "192.0.2.1", email: str = "", buyer: Identity | None = None
    ) -> Order:
        address = email or f"{new_id().hex}@example.com"
        body = PlaceOrder.model_validate(self.client.body(*lines, **({} if buyer else {"email": address})))
        reply = await place.place(self.deps, Request(body, buyer, client_ip=ip))
        assert isinstance(reply.content, Order)
        return reply.content

    def refused(self, outcome: str) -> float:
        """How often the metric counted an outcome."""
        return float(self.deps.guest_orders.labels(outcome)._value.get())


async def test_orders_from_one_address_are_limited(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    """Whatever their e-mails; other addresses and customers go on, and nothing stays held."""
    guests, lamp = Guests(limited(deps, orders_per_address=3), order_client), await new_product(stock=100)
    for _ in range(3):
        await guests.place((lamp, 1))
    with pytest.raises(TooManyGuestOrders) as refused:
        await guests.place((lamp, 1))
    assert 0 < (refused.value.retry_after or 0) <= 1200, "a third of the window"
    await order_client.wait_for_stock(lamp, on_hand=100, reserved=3)
    await guests.place((lamp, 1), ip="192.0.2.2")
    await guests.place((lamp, 1), buyer=customer_identity())
    assert (guests.refused("address_limit"), guests.refused("email_limit")) == (1, 0)
    assert guests.refused("placed") == 4


async def test_orders_for_one_mailbox_are_limited(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    """From all addresses together, however the e-mail is written."""
    guests, lamp = Guests(limited(deps, orders_per_email=2), order_client), await new_product(stock=100)
    mailbox = new_id().hex
    await guests.place((lamp, 1), ip="192.0.2.1", email=f"{mailbox}@example.com")
    await guests.place((lamp, 1), ip="198.51.100.7", email=f"{mailbox.upper()}@EXAMPLE.com")
    with pytest.raises(TooManyGuestOrders):
        await guests.place((lamp, 1), ip="2001:db8::1", email=f"{mailbox}+again@example.com")
    await guests.place((lamp, 1), email=f"{new_id().hex}@example.com")
    assert (guests.refused("email_limit"), guests.refused("address_limit")) == (1, 0)


async def test_requests_at_the_same_moment_do_not_pass_the_limit(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    guests, lamp = Guests(limited(deps, orders_per_address=4, orders_per_email=100), order_client), await new_product()
    placed = await asyncio.gather(*(guests.place((lamp, 1)) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(one, Order) for one in placed) == 4, placed
    assert sum(isinstance(one, TooManyGuestOrders) for one in placed) == 6, placed
    await order_client.wait_for_stock(lamp, on_hand=10, reserved=4)


async def test_bucket_refills_and_is_deleted_when_full(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct, database: Database
) -> None:
    """A guest may order again after the seconds that the refusal named; a full bucket leaves no row."""
    limited_deps = limited(deps, orders_per_address=2)
    guests, lamp = Guests(limited_deps, order_client), await new_product(stock=100)
    await guests.place((lamp, 1))
    await guests.place((lamp, 1))
    with pytest.raises(TooManyGuestOrders) as refused:
        await guests.place((lamp, 1))
    orders = await database("order")
    (bucket,) = limited_deps.guest_limits.buckets("192.0.2.1", "ada@example.com")
    later = timedelta(seconds=refused.value.retry_after or 0)
    await orders.execute(
        "UPDATE guest_order_bucket SET full_at = full_at - $2::interval WHERE key = $1", bucket.key, later
    )
    await guests.place((lamp, 1))
    with pytest.raises(TooManyGuestOrders):
        await guests.place((lamp, 1))
    await orders.execute("UPDATE guest_order_bucket SET full_at = now() WHERE key = $1", bucket.key)
    await worker.prune(limited_deps)
    assert not await orders.fetchval("SELECT EXISTS (SELECT FROM guest_order_bucket WHERE key = $1)", bucket.key)


async def test_repeat_of_an_order_is_not_counted_again(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    """Even when the stored reply is gone and nothing is left of the limit."""
    guests, lamp = Guests(limited(deps, orders_per_address=1), order_client), await new_product()
    body = PlaceOrder.model_validate(order_client.body((lamp, 1), email="ada@example.com"))
    ids = set()
    for _ in range(2):
        key = IdempotencyKey(lamp.id.bytes, b"the same body")
        request = Request(body, client_ip="192.0.2.1", idempotency_key=key)
        reply: Reply[Order] = await place.place(guests.deps, request)
        assert isinstance(reply.content, Order)
        ids.add(reply.content.id)
        async with deps.db.connection() as connection:
            await connection.execute("DELETE FROM idempotency WHERE digest = $1", key.digest)
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("stock", "share", "most"),
    [(1, 0.1, 1), (2, 0.5, 2), (6, 0.1, 5), (10, 0.25, 5), (22, 0.25, 6), (100, 0.56, 56), (999, 0.5, 500)],
)
async def test_one_order_holds_a_share_of_the_stock(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct, stock: int, share: float, most: int
) -> None:
    """Rounded up, and five units in any case. A customer may order all of it."""
    guests, lamp = Guests(limited(deps, order_share=share), order_client), await new_product(stock=stock)
    if most < stock:
        with pytest.raises(GuestStockLimit) as refused:
            await guests.place((lamp, most + 1))
        (error,) = refused.value.errors
        assert error.pointer == "/items/0"
        assert f"at most {most} " in error.detail
        await order_client.wait_for_stock(lamp, on_hand=stock, reserved=0)
        assert guests.refused("stock_limit") == 1
    order = await guests.place((lamp, most))
    assert order.items[0].quantity == most
    others = await new_product(stock=stock)
    await guests.place((others, stock), buyer=customer_identity())


async def test_unpaid_guests_hold_a_share_of_the_stock_together(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    """What they have paid, what is cancelled and what customers hold does not count."""
    guests, lamp = Guests(limited(deps, order_share=0.3, total_share=0.5), order_client), await new_product(stock=20)
    unlimited = await new_product(stock=10)
    await guests.place((lamp, 1), buyer=customer_identity())
    first = await guests.place((lamp, 6))
    await guests.place((lamp, 4))
    with pytest.raises(GuestStockLimit) as refused:
        await guests.place((unlimited, 1), (lamp, 1))
    (error,) = refused.value.errors
    assert (error.pointer, "at most 0 " in error.detail) == ("/items/1", True)
    await order_client.wait_for_stock(unlimited, on_hand=10, reserved=0)
    await order_client.rpc(contract.CANCEL, {"id": str(first.id)}, identity=order_client.admin)
    await order_client.wait_for_stock(lamp, on_hand=20, reserved=5)
    await guests.place((lamp, 6))


async def test_short_stock_is_told_before_the_share(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct
) -> None:
    guests, lamp = Guests(limited(deps, order_share=0.5), order_client), await new_product(stock=4)
    with pytest.raises(OutOfStock) as refused:
        await guests.place((lamp, 5))
    assert "4 left" in refused.value.errors[0].detail


async def test_guest_has_less_time_to_pay(
    deps: OrderDeps, order_client: OrderClient, new_product: NewProduct, database: Database
) -> None:
    """The hold is shorter too: it ends a margin after the deadline."""
    guests, lamp = Guests(limited(deps, pay_within_seconds=120), order_client), await new_product()
    seconds = {}
    for buyer in (None, customer_identity()):
        order = await guests.place((lamp, 1), buyer=buyer)
        assert order.status is OrderStatus.PENDING
        pay_by, hold_id = await (await database("order")).fetchrow(
            "SELECT extract(epoch FROM pay_by - now())::int, hold_id FROM orders WHERE id = $1", order.id
        )
        held = await (await database("catalog")).fetchval(
            "SELECT extract(epoch FROM expires_at - now())::int FROM hold WHERE id = $1", hold_id
        )
        seconds[buyer is None] = (pay_by, held)
    assert seconds[True] == (pytest.approx(120, abs=10), pytest.approx(720, abs=10))
    assert seconds[False] == (pytest.approx(1800, abs=10), pytest.approx(2400, abs=10))


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_ipv6_subscriber_counts_as_one(client: str, network: str) -> None:
    assert network_of(client) == network


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("Ada@Example.com", "ada@example.com"),
        ("ada+shop+2@example.com", "ada@example.com"),
        ("+tag@example.com", "+tag@example.com"),
    ],
)
def test_mailbox_has_no_tag_and_no_case(email: str, mailbox: str) -> None:
    assert mailbox_of(email) == mailbox


@given(st.integers(1, 50), st.floats(1, 100_000))
def test_full_bucket_has_exactly_the_limit(limit: int, window: float) -> None:
    limits = replace(NO_GUEST_LIMITS, orders_per_address=limit, window_seconds=window)
    (bucket,) = limits.buckets("192.0.2.1", "ada@example.com")
    assert bucket.step_seconds * limit <= window + store.SLACK_SECONDS < bucket.step_seconds * (limit + 1)


def test_key_tells_neither_address_nor_email() -> None:
    limits = replace(NO_GUEST_LIMITS, orders_per_address=1, orders_per_email=1)
    keys = [bucket.key for bucket in limits.buckets("192.0.2.1", "ada@example.com")]
    other = [bucket.key for bucket in replace(limits, secret="another").buckets("192.0.2.1", "ada@example.com")]
    assert len({*keys, *other}) == 4
    assert limits.secret not in repr(limits)


async def test_metrics_and_settings_of_the_service(
    stack: Stack, order_client: OrderClient, new_product: NewProduct, http: HttpClient
) -> None:
    """Every outcome is a metric from the start. A shop limits guests unless it is told not to."""
    await order_client.place(None, (await new_product(), 1), email="ada@example.com")
    url = f"http://{LOOPBACK}:{stack.ports.ops['order']}/metrics"
    async with http.session.get(url) as response:
        metrics = await response.text()
    for outcome in GUEST_ORDER_OUTCOMES:
        assert f'souk_guest_orders_total{{outcome="{outcome}"}}' in metrics
    secrets = {"nats_password": "", "database_password": "", "access_secret": "a secret of tests"}
    settings = OrderSettings(_env_file=None, database_url="", **secrets)
    metrics_of_process = SimpleNamespace(registry=None)
    resources = SimpleNamespace(settings=settings, store=None, rpc=None, nats=Client(), metrics=metrics_of_process)
    limits = build_deps(resources, write_orders).guest_limits
    assert (limits.orders_per_address, limits.orders_per_email, limits.window_seconds) == (60, 5, 3600)
    assert (limits.order_share, limits.total_share, limits.pay_within_seconds) == (0.5, 0.8, 600)


def test_no_limit_needs_no_bucket() -> None:
    assert not list(NO_GUEST_LIMITS.buckets("192.0.2.1", "ada@example.com"))
    assert NO_GUEST_LIMITS.hold_limit is None
