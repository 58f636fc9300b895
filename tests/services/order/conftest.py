"""Fixtures for order tests: each test creates its own products, and orders go over the real broker."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog
from contracts import order as contract
from contracts.catalog import Product, StockLevel
from contracts.event import Event
from contracts.identity import Identity, Role
from contracts.order import Coupon, Order, OrderStatus
from infra.database import outbox
from infra.database.group_commit import GroupCommit
from infra.database.postgres import connect
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging.object_files import ObjectFiles
from infra.messaging.rpc_client import RpcClient
from infra.messaging.topology import INVOICES
from infra.ops.devstack.stack import Stack
from services.order.deps import OrderDeps
from services.order.domain.access import OrderTokens
from services.order.domain.coupon_guesses import CouponGuessLimit
from services.order.domain.event_stream_tickets import EventStreamTickets
from services.order.domain.guest_limits import GuestLimits
from services.order.domain.order_lookup_limits import OrderLookupLimits
from services.order.handlers.grouped_orders import write_orders
from tests.services.order.sample_invoices import invoice_terms
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NO_GUEST_LIMITS = GuestLimits(
    orders_per_address=0,
    orders_per_email=0,
    window_seconds=3600,
    order_share=1,
    total_share=1,
    pay_within_seconds=1800,
    secret="a secret of tests",
)


@dataclass(frozen=True)
class OrderClient:
    """Places orders and reads orders and stock."""

    rpc: RpcCaller
    admin: Identity

    def body(self, *lines: tuple[Product, int], **more: Any) -> dict[str, Any]:
        items = [{"sku": product.variants[0].sku, "quantity": quantity} for product, quantity in lines]
        return {"items": items, "shipping_address": ADDRESS, **more}

    async def place(
        self, buyer: Identity | None, *lines: tuple[Product, int], key: str | None = None, **more: Any
    ) -> Order:
        placed = await self.rpc(contract.PLACE, self.body(*lines, **more), identity=buyer, key=key)
        return Order.model_validate(placed.model_dump(exclude={"access_token"}))

    async def stock(self, product: Product) -> StockLevel:
        level: StockLevel = await self.rpc(catalog.GET_STOCK, {"sku": product.variants[0].sku}, identity=self.admin)
        return level

    async def wait_for_stock(self, product: Product, *, on_hand: int, reserved: int) -> None:
        """Waits until the stock level has these values."""

        async def as_expected() -> bool:
            level = await self.stock(product)
            assert (level.on_hand, level.reserved) == (on_hand, reserved)
            return True

        await eventually(as_expected)

    async def read(self, order_id: UUID) -> Order:
        order: Order = await self.rpc(contract.GET, {"id": str(order_id)}, identity=self.admin)
        return order

    async def wait_for_status(self, order_id: UUID, status: OrderStatus) -> Order:
        """Waits until the order has this status, and returns it."""

        async def there() -> Order:
            order = await self.read(order_id)
            assert order.status is status
            return order

        return await eventually(there)


@pytest.fixture(scope="session")
def order_client(rpc: RpcCaller, admin: Identity, events: EventRecorder) -> OrderClient:
    """An order client; `events` records from the start what its orders publish."""
    assert events
    return OrderClient(rpc, admin)


@pytest.fixture
async def deps(stack: Stack, as_service: Callable[[str], Awaitable[RpcCaller]]) -> AsyncIterator[OrderDeps]:
    """The dependencies of an order process that answers no requests of others."""
    settings = PostgresSettings(
        _env_file=None,
        nats_password="",
        database_url=stack.dsn("order", with_password=False),
        database_password=stack.secrets.get_or_create("order", "souk_database_password"),
    )
    rpc = RpcClient((await as_service("order")).client, 3)
    async with connect(settings, "order-test") as db:
        yield OrderDeps(
            db,
            rpc,
            pay_within_seconds=1800,
            hold_margin_seconds=600,
            placement=GroupCommit(db, write_orders),
            coupon_placement=GroupCommit(db, write_orders, max_concurrent=1),
            order_tokens=OrderTokens("secret"),
            event_stream_tickets=EventStreamTickets("secret"),
            guest_limits=NO_GUEST_LIMITS,
            coupon_guesses=CouponGuessLimit(0, 3600, "a secret of tests"),
            order_lookup_limits=OrderLookupLimits(0, 0, 3600, "a secret of tests"),
            invoice_terms=invoice_terms(),
            invoice_files=ObjectFiles(rpc.client, INVOICES),
            release_after_seconds=0.2,
        )


@pytest.fixture(scope="session")
def publish(database: Callable[[str], Awaitable[Any]], operator: RpcCaller) -> Callable[[Event], Awaitable[None]]:
    """Publishes an event as its service does, through the outbox of that service, whose relay it wakes."""

    async def insert(event: Event) -> None:
        await outbox.insert_events(await database(event.service), [(event, trace.start())])
        await operator.client.publish(f"wake.{event.service}")

    return insert


@dataclass(frozen=True)
class CouponClient:
    """An administrator who makes coupons."""

    rpc: RpcCaller
    admin: Identity

    async def create(self, **fields: Any) -> Coupon:
        body = {"code": f"T{new_id().hex}", "kind": "percent", "value": 10, **fields}
        coupon: Coupon = await self.rpc(contract.CREATE_COUPON, body, identity=self.admin)
        return coupon

    async def replace(self, coupon: Coupon, **fields: Any) -> Coupon:
        body = coupon.model_dump(mode="json", exclude={"used", "created_at"})
        replaced: Coupon = await self.rpc(contract.REPLACE_COUPON, {**body, **fields}, identity=self.admin)
        return replaced

    async def used(self, coupon: Coupon) -> int:
        return (await self.get(coupon)).used

    async def get(self, coupon: Coupon) -> Coupon:
        found: Coupon = await self.rpc(contract.GET_COUPON, {"id": str(coupon.id)}, identity=self.admin)
        return found

    async def codes(self, coupon: Coupon, count: int) -> list[str]:
        body = {"id": str(coupon.id), "count": count, "prefix": "T"}
        made: list[str] = (await self.rpc(contract.CREATE_COUPON_CODES, body, identity=self.admin)).codes
        return made


@pytest.fixture
def coupons(rpc: RpcCaller, admin: Identity) -> CouponClient:
    return CouponClient(rpc, admin)


def buyer_of(order: Order) -> Identity:
    """The customer of the order, signed in."""
    assert order.user_id is not None, "a guest does not sign in"
    return Identity(user_id=order.user_id, role=Role.CUSTOMER)
