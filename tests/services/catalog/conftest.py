"""The catalog as tests use it: its own asks, and events stated as the order service states them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog, headers
from contracts.catalog import Hold, ImportJob, ImportStatus, Product, StockLevel
from contracts.event import Event
from contracts.identity import Identity
from contracts.money import Money
from contracts.order import CancelReason, OrderCancelled, OrderPaid, OrderStatus, PlacedItem
from infra.foundation.ids import new_id
from infra.messaging.topology import stream_of
from tests.support.eventually import eventually
from tests.support.rpc import Edge

NOTHING = Money(amount=0, currency="USD")
CSV = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Grams,"
HEADER = CSV + "Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src\n"


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def line(sku: str, quantity: int) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity}


@dataclass(frozen=True)
class Shelf:
    """Asks of an administrator, of the order service and of the cart."""

    edge: Edge
    order: Edge
    cart: Edge
    admin: Identity

    async def do(self, operation: Any, body: Any = None, **how: Any) -> Any:
        return await self.edge(operation, body, identity=self.admin, **how)

    async def hold(self, *lines: dict[str, Any], hold_id: UUID | None = None, seconds: int = 600) -> Hold:
        body = {"hold_id": str(hold_id or new_id()), "lines": list(lines), "seconds": seconds}
        held: Hold = await self.order(catalog.HOLD, body)
        return held

    async def level(self, sku: str) -> tuple[int, int]:
        """Units on hand and reserved."""
        level: StockLevel = await self.do(catalog.GET_STOCK, {"sku": sku})
        return level.on_hand, level.reserved

    async def settles(self, sku: str, on_hand: int, reserved: int) -> None:
        async def so() -> bool:
            assert await self.level(sku) == (on_hand, reserved)
            return True

        await eventually(so)

    async def say(self, event: Event) -> None:
        """States a fact of an order, in the stream of orders."""
        header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.type()}
        stream = stream_of(event.service)
        body = event.model_dump_json().encode()
        await self.order.client.jetstream().publish(event.subject, body, stream=stream, headers=header)

    async def paid(self, hold_id: UUID, sku: str, quantity: int) -> None:
        await self.say(paid(hold_id, sku, quantity))

    async def cancelled(self, hold_id: UUID) -> None:
        await self.say(cancelled(hold_id))


def paid(hold_id: UUID, sku: str, quantity: int) -> OrderPaid:
    item = PlacedItem(sku=sku, product_id=new_id(), name="Lamp", quantity=quantity, unit_price=NOTHING)
    return OrderPaid(
        order_id=hold_id,
        number="S-1",
        user_id=None,
        total=NOTHING,
        hold_id=hold_id,
        payment_id=new_id(),
        items=[item],
    )


def cancelled(hold_id: UUID) -> OrderCancelled:
    return OrderCancelled(
        order_id=hold_id,
        number="S-1",
        user_id=None,
        total=NOTHING,
        hold_id=hold_id,
        payment_id=None,
        was=OrderStatus.PENDING,
        reason=CancelReason.CUSTOMER,
    )


@dataclass(frozen=True)
class Files:
    """Files on their way to the catalog, put where the edge puts them."""

    shelf: Shelf

    async def upload(self, content: bytes) -> str:
        bucket = await self.shelf.edge.client.jetstream().object_store("UPLOADS")
        name = new_id().hex
        await bucket.put(name, content)
        return name

    async def start(self, content: bytes | str) -> ImportJob:
        encoded = content if isinstance(content, bytes) else content.encode()
        job: ImportJob = await self.shelf.do(catalog.START_IMPORT, {"upload": await self.upload(encoded)})
        return job

    async def bring_in(self, content: bytes | str) -> ImportJob:
        """The job, once it is done."""
        return await self.done(await self.start(content))

    async def done(self, job: ImportJob) -> ImportJob:
        async def ended() -> ImportJob:
            now: ImportJob = await self.shelf.do(catalog.GET_IMPORT, {"id": str(job.id)})
            assert now.status in {ImportStatus.DONE, ImportStatus.FAILED}
            return now

        return await eventually(ended, within=60)


@pytest.fixture(scope="session")
async def shelf(ask: Edge, as_service: Callable[[str], Awaitable[Edge]], admin: Identity) -> Shelf:
    return Shelf(ask, await as_service("order"), await as_service("cart"), admin)


@pytest.fixture(scope="session")
def files(shelf: Shelf) -> Files:
    return Files(shelf)


@pytest.fixture
async def sku(new_product: Callable[..., Awaitable[Product]]) -> str:
    """Of a product with ten units."""
    product = await new_product(stock=10)
    return product.variants[0].sku
