"""The catalog as tests use it: its own asks, and events stated as the order service states them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog, headers
from contracts.catalog import Hold, Product, ProductImport, ProductImportStatus, StockLevel
from contracts.event import Event
from contracts.identity import Identity
from contracts.money import Money
from contracts.order import CancelReason, OrderCancelled, OrderPaid, OrderStatus, PlacedOrderItem
from infra.foundation.ids import new_id
from infra.messaging.topology import stream_name
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

NO_MONEY = Money(amount=0, currency="USD")
CSV = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Grams,"
HEADER = CSV + "Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src\n"


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def line(sku: str, quantity: int) -> dict[str, Any]:
    return {"sku": sku, "quantity": quantity}


@dataclass(frozen=True)
class CatalogClient:
    """Asks of an administrator, of the order service and of the cart."""

    edge: RpcCaller
    order: RpcCaller
    cart: RpcCaller
    admin: Identity

    async def as_admin(self, operation: Any, body: Any = None, **how: Any) -> Any:
        return await self.edge(operation, body, identity=self.admin, **how)

    async def hold(self, *lines: dict[str, Any], hold_id: UUID | None = None, seconds: int = 600) -> Hold:
        body = {"hold_id": str(hold_id or new_id()), "lines": list(lines), "seconds": seconds}
        held: Hold = await self.order(catalog.HOLD, body)
        return held

    async def stock_level(self, sku: str) -> tuple[int, int]:
        """Units on hand and reserved."""
        level: StockLevel = await self.as_admin(catalog.GET_STOCK, {"sku": sku})
        return level.on_hand, level.reserved

    async def wait_for_stock(self, sku: str, on_hand: int, reserved: int) -> None:
        async def so() -> bool:
            assert await self.stock_level(sku) == (on_hand, reserved)
            return True

        await eventually(so)

    async def publish(self, event: Event) -> None:
        """States a fact of an order, in the stream of orders."""
        header = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.ce_type()}
        stream = stream_name(event.service)
        body = event.model_dump_json().encode()
        await self.order.client.jetstream().publish(event.subject, body, stream=stream, headers=header)

    async def publish_paid(self, hold_id: UUID, sku: str, quantity: int) -> None:
        await self.publish(order_paid(hold_id, sku, quantity))

    async def publish_cancelled(self, hold_id: UUID) -> None:
        await self.publish(order_cancelled(hold_id))


def order_paid(hold_id: UUID, sku: str, quantity: int) -> OrderPaid:
    item = PlacedOrderItem(sku=sku, product_id=new_id(), name="Lamp", quantity=quantity, unit_price=NO_MONEY)
    return OrderPaid(
        order_id=hold_id,
        number="S-1",
        user_id=None,
        total=NO_MONEY,
        hold_id=hold_id,
        payment_id=new_id(),
        items=[item],
    )


def order_cancelled(hold_id: UUID) -> OrderCancelled:
    return OrderCancelled(
        order_id=hold_id,
        number="S-1",
        user_id=None,
        total=NO_MONEY,
        hold_id=hold_id,
        payment_id=None,
        was=OrderStatus.PENDING,
        reason=CancelReason.CUSTOMER,
    )


@dataclass(frozen=True)
class ImportFiles:
    """Files on their way to the catalog, put where the edge puts them."""

    catalog: CatalogClient

    async def upload(self, content: bytes) -> str:
        bucket = await self.catalog.edge.client.jetstream().object_store("UPLOADS")
        name = new_id().hex
        await bucket.put(name, content)
        return name

    async def start(self, content: bytes | str) -> ProductImport:
        encoded = content if isinstance(content, bytes) else content.encode()
        job: ProductImport = await self.catalog.as_admin(catalog.START_IMPORT, {"upload": await self.upload(encoded)})
        return job

    async def run_import(self, content: bytes | str) -> ProductImport:
        """The job, once it is done."""
        return await self.wait_until_done(await self.start(content))

    async def wait_until_done(self, job: ProductImport) -> ProductImport:
        async def ended() -> ProductImport:
            now: ProductImport = await self.catalog.as_admin(catalog.GET_IMPORT, {"id": str(job.id)})
            assert now.status in {ProductImportStatus.DONE, ProductImportStatus.FAILED}
            return now

        return await eventually(ended, timeout_seconds=60)


@pytest.fixture(scope="session")
async def shelf(ask: RpcCaller, as_service: Callable[[str], Awaitable[RpcCaller]], admin: Identity) -> CatalogClient:
    return CatalogClient(ask, await as_service("order"), await as_service("cart"), admin)


@pytest.fixture(scope="session")
def files(shelf: CatalogClient) -> ImportFiles:
    return ImportFiles(shelf)


@pytest.fixture
async def sku(new_product: Callable[..., Awaitable[Product]]) -> str:
    """Of a product with ten units."""
    product = await new_product(stock=10)
    return product.variants[0].sku
