"""Orders as tests make them: products of their own, placed over the real broker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog
from contracts import order as contract
from contracts.catalog import Product, StockLevel
from contracts.event import Event
from contracts.identity import Identity
from contracts.order import Order, OrderStatus
from infra.database import outbox
from infra.foundation import trace
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class OrderClient:
    """Where orders are placed and looked after in tests."""

    ask: RpcCaller
    admin: Identity

    def body(self, *lines: tuple[Product, int], **more: Any) -> dict[str, Any]:
        items = [{"sku": product.variants[0].sku, "quantity": quantity} for product, quantity in lines]
        return {"items": items, "shipping_address": ADDRESS, **more}

    async def place(
        self, who: Identity | None, *lines: tuple[Product, int], key: str | None = None, **more: Any
    ) -> Order:
        order: Order = await self.ask(contract.PLACE, self.body(*lines, **more), identity=who, key=key)
        return order

    async def stock(self, product: Product) -> StockLevel:
        level: StockLevel = await self.ask(catalog.GET_STOCK, {"sku": product.variants[0].sku}, identity=self.admin)
        return level

    async def wait_for_stock(self, product: Product, *, on_hand: int, reserved: int) -> None:
        """Waits until so much is on hand and reserved."""

        async def as_expected() -> bool:
            level = await self.stock(product)
            assert (level.on_hand, level.reserved) == (on_hand, reserved)
            return True

        await eventually(as_expected)

    async def read(self, order_id: UUID) -> Order:
        order: Order = await self.ask(contract.GET, {"id": str(order_id)}, identity=self.admin)
        return order

    async def wait_for_status(self, order_id: UUID, status: OrderStatus) -> Order:
        """The order, once it has come to a status."""

        async def there() -> Order:
            order = await self.read(order_id)
            assert order.status is status
            return order

        return await eventually(there)


@pytest.fixture(scope="session")
def counter(ask: RpcCaller, admin: Identity, events: EventRecorder) -> OrderClient:
    """Whatever is said of its orders is heard from the beginning."""
    assert events
    return OrderClient(ask, admin)


@pytest.fixture(scope="session")
def say(database: Callable[[str], Awaitable[Any]]) -> Callable[[Event], Awaitable[None]]:
    """States a fact as the service that owns it would, through its outbox."""

    async def state(event: Event) -> None:
        await outbox.insert_events(await database(event.service), [(event, trace.start())])

    return state
