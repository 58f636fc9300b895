"""What a merchant charges: tax rates and shipping zones, and the orders that are priced by them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts import catalog
from contracts import order as contract
from contracts.catalog import Product
from contracts.failure import InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.model import ListPage
from contracts.operation import AnyOperation
from contracts.order import (
    NotDeliverable,
    Order,
    OrderPlaced,
    PlaceOrder,
    ShippingPlaceTaken,
    TaxRate,
    TaxRateOverlaps,
    TaxReason,
)
from infra.foundation.ids import new_id, now
from infra.messaging.rpc_client import Request
from services.order.deps import OrderDeps
from services.order.domain.orders import Buyer, OrderDraft, draft_order
from services.order.handlers import place as handlers
from services.order.store import pricing_rules
from tests.services.order.conftest import OrderClient
from tests.support.event_recorder import EventRecorder
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]
STANDARD: dict[str, Any] = {
    "code": "standard",
    "name": "Standard",
    "prices": [{"price": {"amount": 495, "currency": "USD"}}],
}
EXPRESS: dict[str, Any] = {
    "code": "express",
    "name": "Express",
    "prices": [{"price": {"amount": 1500, "currency": "USD"}}],
}


@dataclass
class Merchant:
    """An administrator. What they make is for a place of their own, and is deleted at the end."""

    rpc: RpcCaller
    admin: Identity
    made: list[tuple[AnyOperation, str]] = field(default_factory=list)
    place: dict[str, str] = field(default_factory=lambda: {"country": "AQ", "postal_prefix": new_id().hex[-12:]})

    async def send(self, operation: AnyOperation, body: dict[str, Any]) -> Any:
        return await self.rpc(operation, body, identity=self.admin)

    async def tax(self, rate_ppm: int, **more: Any) -> TaxRate:
        body = {**self.place, "rate_ppm": rate_ppm, "name": f"Tax of {rate_ppm}", **more}
        rate: TaxRate = await self.send(contract.CREATE_TAX_RATE, body)
        self.made.append((contract.DELETE_TAX_RATE, str(rate.id)))
        return rate

    async def zone(self, *methods: dict[str, Any], places: list[dict[str, str]] | None = None) -> Any:
        body = {"name": "Ice", "places": [self.place] if places is None else places, "methods": methods}
        zone = await self.send(contract.CREATE_SHIPPING_ZONE, body)
        self.made.append((contract.DELETE_SHIPPING_ZONE, str(zone.id)))
        return zone

    @property
    def address(self) -> dict[str, str]:
        return {**ADDRESS, "country": "AQ", "postal_code": f"{self.place['postal_prefix']}-7"}


@pytest.fixture
async def merchant(rpc: RpcCaller, admin: Identity) -> AsyncIterator[Merchant]:
    made = Merchant(rpc, admin)
    yield made
    for operation, made_id in reversed(made.made):
        try:
            await made.send(operation, {"id": made_id})
        except NotFound:
            continue  # the test deleted it
    await made.send(contract.REPLACE_TAX_SETTINGS, {})


async def test_an_order_is_priced_by_the_current_rates_and_zones(
    merchant: Merchant,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
    events: EventRecorder,
) -> None:
    lamp, buyer = await new_product(price=1999), new_customer()
    await merchant.tax(190_000)
    await merchant.zone(STANDARD, EXPRESS)
    order = await order_client.place(buyer, (lamp, 2), shipping_address=merchant.address)
    assert (order.shipping.amount, order.shipping_method) == (495, "standard")
    assert (order.items[0].tax_lines[0].amount.amount, order.items[0].shipping_tax_lines[0].amount.amount) == (760, 94)
    assert [(line.rate_ppm, line.base.amount, line.amount.amount) for line in order.tax_lines] == [
        (190_000, 3998 + 495, 760 + 94)
    ]
    assert (order.tax.amount, order.tax_included, order.total.amount) == (854, False, 3998 + 495 + 854)
    assert await order_client.read(order.id) == order
    event = (await events.wait_for(order.id, "placed")).event
    assert isinstance(event, OrderPlaced)
    assert (event.shipping, event.tax, event.tax_included) == (order.shipping, order.tax, False)

    await merchant.send(contract.REPLACE_TAX_SETTINGS, {"prices_include_tax": True})
    included = await order_client.place(buyer, (lamp, 2), shipping_address=merchant.address, shipping_method="express")
    assert (included.tax.amount, included.tax_included) == (638 + 239, True)
    assert included.total.amount == 3998 + 1500
    assert await order_client.read(order.id) == order, "an order keeps what it was placed with"


@pytest.mark.parametrize(
    ("method", "pointer"), [("standard", None), ("express", "/shipping_method")], ids=["no method", "another method"]
)
async def test_an_order_that_cannot_be_shipped_holds_no_stock(
    method: str,
    pointer: str | None,
    merchant: Merchant,
    order_client: OrderClient,
    new_product: NewProduct,
    new_customer: Callable[[], Identity],
) -> None:
    lamp = await new_product()
    await merchant.zone({**STANDARD, "active": pointer is not None}, {**EXPRESS, "active": False})
    with pytest.raises(InvalidRequest if pointer else NotDeliverable) as refused:
        await order_client.place(new_customer(), (lamp, 1), shipping_address=merchant.address, shipping_method=method)
    assert [error.pointer for error in refused.value.errors] == ([pointer] if pointer else [])
    assert ("AQ" in refused.value.detail) is (pointer is None)
    assert (await order_client.stock(lamp)).reserved == 0


async def test_lines_are_taxed_by_their_category_and_shipped_by_their_weight(
    merchant: Merchant, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(price=1999, weight_grams=400)
    book = await new_product(price=500, tax_category="books", weight_grams=300)
    download = await new_product(price=300, tax_category="books", requires_shipping=False, weight_grams=9000)
    await merchant.tax(190_000)
    await merchant.tax(70_000, category="books", reason="reduced")
    bands: list[dict[str, Any]] = [
        {"to": 1000, "price": {"amount": 400, "currency": "USD"}},
        {"from": 1000, "price": {"amount": 900, "currency": "USD"}},
    ]
    await merchant.zone({**STANDARD, "kind": "weight", "prices": bands})
    lines = [(lamp, 1), (book, 1), (download, 3)]
    order = await order_client.place(new_customer(), *lines, shipping_address=merchant.address)
    assert [[tax.rate_ppm for tax in item.tax_lines] for item in order.items] == [[190_000], [70_000], [70_000]]
    assert [item.tax_lines[0].amount.amount for item in order.items] == [380, 35, 63]
    assert (order.shipping_method, order.shipping.amount) == ("standard", 400)
    heavy = await order_client.place(new_customer(), (book, 2), *lines, shipping_address=merchant.address)
    assert heavy.shipping.amount == 900


async def test_what_is_not_shipped_needs_no_shipping_method(
    merchant: Merchant, order_client: OrderClient, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    download, lamp = await new_product(requires_shipping=False), await new_product()
    await merchant.zone({**STANDARD, "active": False})
    order = await order_client.place(new_customer(), (download, 2), shipping_address=merchant.address)
    assert (order.shipping_method, order.shipping.amount, order.total.amount) == ("none", 0, 3998)
    with pytest.raises(NotDeliverable):
        await order_client.place(new_customer(), (download, 1), (lamp, 1), shipping_address=merchant.address)
    assert (await order_client.stock(download)).reserved == 2


async def test_a_process_with_old_rules_stores_no_order_at_old_prices(
    deps: OrderDeps, merchant: Merchant, new_product: NewProduct, new_customer: Callable[[], Identity]
) -> None:
    lamp = await new_product(price=1000)

    async def place() -> Order:
        body = {"items": [{"sku": lamp.variants[0].sku, "quantity": 1}], "shipping_address": merchant.address}
        request = Request(PlaceOrder.model_validate(body), identity=new_customer())
        return (await handlers.place(deps, request)).content

    zone = await merchant.zone({**STANDARD, "active": False})
    with pytest.raises(NotDeliverable):
        await place()
    change = {"id": str(zone.id), "name": "Ice", "places": [merchant.place]}
    await merchant.send(contract.REPLACE_SHIPPING_ZONE, {**change, "methods": [STANDARD]})
    assert (await place()).total.amount == 1495, "a refusal is decided by the current rules"
    rate = await merchant.tax(100_000)
    assert (await place()).total.amount == 1495 + 150
    await merchant.send(contract.DELETE_TAX_RATE, {"id": str(rate.id)})
    assert (await place()).total.amount == 1495


async def test_an_order_priced_by_old_rules_does_not_harm_others_of_its_group(
    deps: OrderDeps, merchant: Merchant, new_product: NewProduct
) -> None:
    product = await new_product(stock=10)
    lines = [catalog.RequestedLine(sku=product.variants[0].sku, quantity=1)]

    async def draft() -> OrderDraft:
        hold = await deps.rpc.request(catalog.HOLD, catalog.PlaceHold(hold_id=new_id(), lines=lines, seconds=1200))
        body = PlaceOrder.model_validate({"items": lines, "shipping_address": ADDRESS})
        async with deps.db.connection() as connection:
            rules = await pricing_rules.load(connection)
        return draft_order(body, Buyer(new_id(), None), hold, None, rules, order_id=new_id(), at=now())

    old = await draft()
    await merchant.tax(100_000)
    drafts = [await draft(), old, await draft()]
    replies = await asyncio.gather(
        *(deps.placement.run(Request[Any](None), (one, 600.0)) for one in drafts), return_exceptions=True
    )
    assert [isinstance(reply, Exception) for reply in replies] == [False, True, False]
    async with deps.db.connection() as connection:
        stored = await connection.fetch("SELECT id FROM orders WHERE id = ANY($1)", [one.order.id for one in drafts])
    assert len(stored) == 2


async def test_rates_that_would_apply_together_are_refused(merchant: Merchant) -> None:
    first = await merchant.tax(190_000, valid_to="2030-01-01")
    made = await asyncio.gather(
        *(merchant.tax(200_000, valid_from="2030-01-01") for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in made) == ["TaxRate", "TaxRateOverlaps", "TaxRateOverlaps"]
    county = await merchant.tax(10_000, priority=2)
    for body in ({"priority": 1}, {"priority": 1, "valid_from": "2029-12-31"}):
        change = {"id": str(county.id), **merchant.place, "rate_ppm": 10_000, "name": "County", **body}
        with pytest.raises(TaxRateOverlaps):
            await merchant.send(contract.REPLACE_TAX_RATE, change)
    body = {"id": str(first.id), **merchant.place, "rate_ppm": 0, "name": "None", "reason": "exempt", "priority": 3}
    changed = await merchant.send(contract.REPLACE_TAX_RATE, body)
    assert (changed.rate_ppm, changed.reason, changed.valid_to) == (0, TaxReason.EXEMPT, None)
    assert await merchant.send(contract.GET_TAX_RATE, {"id": str(first.id)}) == changed
    page: ListPage[TaxRate] = await merchant.send(contract.LIST_TAX_RATES, {"limit": 1})
    assert (len(page.items), page.next is not None) == (1, True)


async def test_a_place_belongs_to_one_zone(merchant: Merchant) -> None:
    same = {**merchant.place, "postal_prefix": f" {merchant.place['postal_prefix'].upper()} ".strip()}
    made = await asyncio.gather(*(merchant.zone(STANDARD) for _ in range(3)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["ShippingPlaceTaken"] * 2 + ["ShippingZone"]
    with pytest.raises(ShippingPlaceTaken) as refused:
        await merchant.zone(EXPRESS, places=[{"country": "AQ", "region": new_id().hex}, same])
    assert [error.pointer for error in refused.value.errors] == ["/places/1"]
    for body in (
        {"places": [{"region": "Ice"}]},
        {"places": [merchant.place], "methods": [STANDARD, STANDARD]},
        {"places": [merchant.place], "methods": [{**STANDARD, "prices": STANDARD["prices"] * 2}]},
        {"places": [merchant.place], "methods": [{**STANDARD, "prices": [{"from": 5, **STANDARD["prices"][0]}]}]},
    ):
        with pytest.raises(InvalidRequest):
            await merchant.send(contract.CREATE_SHIPPING_ZONE, {"name": "Ice", "methods": [], **body})
