"""A client of the catalog for tests, and events of orders as the order service publishes them."""

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
    """Sends requests as an administrator, as the order service and as the cart, and publishes events of orders."""

    edge: RpcCaller
    order: RpcCaller
    cart: RpcCaller
    admin: Identity

    async def as_admin(self, operation: Any, body: Any = None, **options: Any) -> Any:
        return await self.edge(operation, body, identity=self.admin, **options)

    async def hold(self, *lines: dict[str, Any], hold_id: UUID | None = None, seconds: int = 600) -> Hold:
        body = {"hold_id": str(hold_id or new_id()), "lines": list(lines), "seconds": seconds}
        hold: Hold = await self.order(catalog.HOLD, body)
        return hold

    async def stock_level(self, sku: str) -> tuple[int, int]:
        """Units on hand and reserved."""
        level: StockLevel = await self.as_admin(catalog.GET_STOCK, {"sku": sku})
        return level.on_hand, level.reserved

    async def wait_for_stock(self, sku: str, on_hand: int, reserved: int) -> None:
        """Waits until the SKU has these units on hand and reserved."""

        async def is_reached() -> bool:
            assert await self.stock_level(sku) == (on_hand, reserved)
            return True

        await eventually(is_reached)

    async def publish(self, event: Event) -> None:
        """Publishes an event of an order to the stream of orders."""
        event_headers = {headers.EVENT_ID: str(new_id()), headers.EVENT_TYPE: event.ce_type()}
        stream = stream_name(event.service)
        body = event.model_dump_json().encode()
        await self.order.client.jetstream().publish(event.subject, body, stream=stream, headers=event_headers)

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
    """Uploads files to where the edge stores them, and imports them."""

    client: CatalogClient

    async def upload(self, content: bytes) -> str:
        bucket = await self.client.edge.client.jetstream().object_store("UPLOADS")
        name = new_id().hex
        await bucket.put(name, content)
        return name

    async def start(self, content: bytes | str, *, dry_run: bool = False) -> ProductImport:
        encoded = content if isinstance(content, bytes) else content.encode()
        body = {"upload": await self.upload(encoded), "dry_run": dry_run}
        job: ProductImport = await self.client.as_admin(catalog.START_IMPORT, body)
        return job

    async def run_import(self, content: bytes | str, *, dry_run: bool = False) -> ProductImport:
        """Imports the file and returns the finished import."""
        return await self.wait_until_done(await self.start(content, dry_run=dry_run))

    async def wait_until_done(self, job: ProductImport) -> ProductImport:
        async def finished() -> ProductImport:
            current: ProductImport = await self.client.as_admin(catalog.GET_IMPORT, {"id": str(job.id)})
            assert current.status in {ProductImportStatus.DONE, ProductImportStatus.FAILED}
            return current

        return await eventually(finished, timeout_seconds=60)


@pytest.fixture(scope="session")
async def client(rpc: RpcCaller, as_service: Callable[[str], Awaitable[RpcCaller]], admin: Identity) -> CatalogClient:
    return CatalogClient(rpc, await as_service("order"), await as_service("cart"), admin)


@pytest.fixture(scope="session")
def files(client: CatalogClient) -> ImportFiles:
    return ImportFiles(client)


@pytest.fixture
async def sku(new_product: Callable[..., Awaitable[Product]]) -> str:
    """The SKU of a new product with ten units."""
    product = await new_product(stock=10)
    return product.variants[0].sku
