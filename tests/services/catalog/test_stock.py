"""Stock counted in and out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Product, SkuUnknown, StockReserved
from contracts.failure import InvalidCursor, InvalidRequest
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, line
from tests.support.event_recorder import EventRecorder


async def adjust(shelf: CatalogClient, sku: str, **how: Any) -> tuple[int, int, int]:
    level = await shelf.as_admin(catalog.ADJUST_STOCK, {"sku": sku, "reason": "counted", **how})
    return level.on_hand, level.reserved, level.available


async def test_stock_is_counted_in_and_out(shelf: CatalogClient, sku: str, events: EventRecorder) -> None:
    assert await adjust(shelf, sku, delta=5) == (15, 0, 15)
    assert await adjust(shelf, sku, delta=-7) == (8, 0, 8)
    assert await adjust(shelf, sku, set=3) == (3, 0, 3)
    heard = await events.wait_for_fields("stock_adjusted", sku=sku, on_hand=3)
    assert heard.name == "stock_adjusted"


async def test_the_ledger_says_why_and_who(
    shelf: CatalogClient, sku: str, database: Callable[[str], Awaitable[Any]]
) -> None:
    await adjust(shelf, sku, delta=-1)
    rows = await (await database("catalog")).fetch(
        "SELECT quantity, reason, who FROM stock_movement WHERE sku = $1 ORDER BY id", sku
    )
    assert [(row["quantity"], row["reason"]) for row in rows] == [(10, "created with the product"), (-1, "counted")]
    assert {row["who"] for row in rows} == {shelf.admin.user_id}


async def test_what_is_reserved_stays(shelf: CatalogClient, sku: str) -> None:
    await shelf.hold(line(sku, 6))
    for how in ({"delta": -5}, {"set": 5}):
        with pytest.raises(StockReserved):
            await adjust(shelf, sku, **how)
    assert await adjust(shelf, sku, delta=-4) == (6, 6, 0)


async def test_parallel_counts_all_count(shelf: CatalogClient, sku: str) -> None:
    await asyncio.gather(*(adjust(shelf, sku, delta=1) for _ in range(20)))
    assert await shelf.stock_level(sku) == (30, 0)


async def test_no_shop_has_that_many(shelf: CatalogClient, sku: str) -> None:
    with pytest.raises(InvalidRequest):
        await adjust(shelf, sku, delta=1_000_000_000)
    with pytest.raises(InvalidRequest):
        await adjust(shelf, sku, delta=1, set=1)


async def test_what_is_not_there_is_unknown(shelf: CatalogClient) -> None:
    with pytest.raises(SkuUnknown):
        await adjust(shelf, "no-such-sku", delta=1)
    with pytest.raises(SkuUnknown):
        await shelf.stock_level("no-such-sku")


async def test_the_list_goes_on_and_finds_what_runs_low(
    shelf: CatalogClient, new_product: Callable[..., Awaitable[Product]]
) -> None:
    prefix = f"zz-{new_id().hex}"
    for n in range(5):
        await new_product(sku=f"{prefix}-{n}", stock=n)
    found: list[str] = []
    after = None
    while True:
        page = await shelf.as_admin(catalog.LIST_STOCK, {"limit": 2, "after": after, "below": 3})
        found += [level.sku for level in page.items]
        assert all(level.available < 3 for level in page.items)
        if page.next is None:
            break
        after = page.next
    assert [sku for sku in found if sku.startswith(prefix)] == [f"{prefix}-{n}" for n in range(3)]
    assert len(found) == len(set(found))
    with pytest.raises(InvalidCursor):
        await shelf.as_admin(catalog.LIST_STOCK, {"after": "nonsense"})
