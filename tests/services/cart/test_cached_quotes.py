"""Quotes that were asked for less than a second ago decide what an accepted change shows, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest

from contracts import order
from contracts.catalog import OutOfStock, Product, QuoteRequest, SkuQuote, SkuQuoteList, SkuUnknown
from contracts.identity import Identity
from contracts.money import Money
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import RpcClient
from services.cart import price_client
from services.cart.price_client import CACHE_SECONDS, REFRESH_AFTER_SECONDS, PriceClient
from tests.services.cart.conftest import CartClient
from tests.services.cart.test_items import sku_of
from tests.services.cart.test_views import set_price, set_stock
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

NewProduct = Callable[..., Awaitable[Product]]


class Catalog:
    """Counts the requests for quotes, with a price and a clock that the test sets."""

    def __init__(self) -> None:
        self.clock = 100.0
        self.price = 100
        self.valid_seconds: float | None = None
        self.requests: list[Sequence[str]] = []
        self.replies = asyncio.Event()
        self.replies.set()

    def monotonic(self) -> float:
        return self.clock

    async def request(self, _operation: Any, body: QuoteRequest) -> SkuQuoteList:
        self.requests.append(body.skus)
        price = self.price
        await self.replies.wait()
        skus = [sku for sku in body.skus if sku != "OFF-SALE"]
        return SkuQuoteList(items=[_quote(sku, price, self.valid_seconds) for sku in skus])


def _quote(sku: str, price: int, valid_seconds: float | None) -> SkuQuote:
    return SkuQuote(
        sku=sku,
        product_id=new_id(),
        name="Lamp",
        options={},
        unit_price=Money(amount=price, currency="USD"),
        available=9,
        valid_seconds=valid_seconds,
    )


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    catalog = Catalog()
    monkeypatch.setattr(price_client, "time", catalog)
    return catalog


@pytest.fixture
def prices(catalog: Catalog) -> PriceClient:
    return PriceClient(cast("RpcClient", catalog))


def cached_prices(prices: PriceClient, *skus: str) -> dict[str, int] | None:
    quotes = prices.cached_quotes(skus)
    return None if quotes is None else {sku: quote.unit_price.amount for sku, quote in quotes.items()}


async def test_a_quote_is_cached_for_a_second_at_most(catalog: Catalog, prices: PriceClient) -> None:
    await prices.cache_quotes(["A", "OFF-SALE"])
    catalog.price = 200
    catalog.clock += REFRESH_AFTER_SECONDS
    await prices.cache_quotes(["A", "OFF-SALE"])
    catalog.clock += CACHE_SECONDS - REFRESH_AFTER_SECONDS
    assert cached_prices(prices, "A", "OFF-SALE") == {"A": 100}
    catalog.clock += 0.001
    assert cached_prices(prices, "A") is None
    await prices.cache_quotes(["A"])
    assert cached_prices(prices, "A") == {"A": 200}
    assert catalog.requests == [["A", "OFF-SALE"], ["A"]]


async def test_a_quote_ends_when_its_price_changes_by_time(catalog: Catalog, prices: PriceClient) -> None:
    catalog.valid_seconds = 0.2
    await prices.cache_quotes(["A"])
    catalog.clock += 0.19
    assert cached_prices(prices, "A") == {"A": 100}
    catalog.clock += 0.02
    assert cached_prices(prices, "A") is None
    catalog.price = 200
    await prices.cache_quotes(["A"])
    assert cached_prices(prices, "A") == {"A": 200}


async def test_the_second_begins_when_a_quote_is_asked_for(catalog: Catalog, prices: PriceClient) -> None:
    catalog.replies.clear()
    asking = asyncio.create_task(prices.cache_quotes(["A"]))
    await eventually(lambda: catalog.requests)
    catalog.clock += CACHE_SECONDS + 0.001
    catalog.replies.set()
    await asking
    assert cached_prices(prices, "A") is None


async def test_a_late_reply_does_not_replace_a_newer_quote(catalog: Catalog, prices: PriceClient) -> None:
    catalog.replies.clear()
    late = asyncio.create_task(prices.quotes_for(["A"]))
    await eventually(lambda: catalog.requests)
    waiting, catalog.replies = catalog.replies, asyncio.Event()
    catalog.replies.set()
    catalog.clock, catalog.price = catalog.clock + 0.5, 200
    await prices.quotes_for(["A"])
    waiting.set()
    assert (await late)["A"].unit_price.amount == 100
    assert cached_prices(prices, "A") == {"A": 200}


async def test_requests_that_are_under_way_together_share_a_quote(catalog: Catalog, prices: PriceClient) -> None:
    await asyncio.gather(*(prices.cache_quotes(["A", f"B{number % 3}"]) for number in range(20)))
    assert catalog.requests == [["A", "B0", "B1", "B2"]]


async def test_no_more_than_a_number_of_quotes_is_cached(
    catalog: Catalog, prices: PriceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_client, "MAX_CACHED_QUOTES", 2)
    for sku in ("A", "B", "A", "C"):
        catalog.clock += 0.1
        await prices.quotes_for([sku])
    assert [cached_prices(prices, sku) is not None for sku in ("A", "B", "C")] == [True, False, True]


async def test_an_order_and_a_read_never_use_a_cached_quote(
    rpc: RpcCaller, admin: Identity, my_cart: CartClient, new_product: NewProduct
) -> None:
    """Both follow a change of the price at once, after a change of the cart has shown the old one."""
    product = await new_product(price=1000)
    sku = product.variants[0].sku
    await my_cart.add(sku, 2)
    await set_price(rpc, admin, product, 1100)
    assert (await my_cart.get()).total.amount == 2 * 1100
    await my_cart.add(sku)
    await set_price(rpc, admin, product, 900)
    placed = await rpc(order.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=my_cart.identity)
    assert placed.items[0].unit_price.amount == 900


async def test_a_refusal_never_comes_from_a_cached_quote(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product = await new_product(stock=1)
    sku, unborn = product.variants[0].sku, f"T-{new_id().hex}"
    await guest_cart.add(sku)
    with pytest.raises(OutOfStock):
        await guest_cart.add(sku)
    with pytest.raises(SkuUnknown):
        await guest_cart.add(unborn)
    await set_stock(rpc, admin, product, 3)
    assert (await guest_cart.add(sku, 2)).items[0].quantity == 3
    await new_product(sku=unborn)
    assert [item.sku for item in (await guest_cart.add(unborn)).items] == [sku, unborn]


async def test_a_change_shows_a_new_price_within_a_second(
    rpc: RpcCaller, admin: Identity, guest_cart: CartClient, new_product: NewProduct
) -> None:
    product, other = await new_product(price=1000), await sku_of(new_product, stock=900)
    await guest_cart.add(product.variants[0].sku)
    await set_price(rpc, admin, product, 1300)

    async def shown() -> bool:
        return (await guest_cart.add(other)).items[0].unit_price.amount == 1300

    await eventually(shown, timeout_seconds=5 * CACHE_SECONDS)
