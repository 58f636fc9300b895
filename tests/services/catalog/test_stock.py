"""Stock is adjusted and listed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from contracts import catalog
from contracts.catalog import Product, SkuUnknown, StockReserved
from contracts.failure import InvalidCursor, InvalidRequest
from infra.foundation.ids import new_id
from infra.foundation.pagination import encode_cursor
from tests.services.catalog.conftest import CatalogClient, line
from tests.support.event_recorder import EventRecorder


async def adjust(client: CatalogClient, sku: str, **options: Any) -> tuple[int, int, int]:
    level = await client.as_admin(catalog.ADJUST_STOCK, {"sku": sku, "reason": "counted", **options})
    return level.on_hand, level.reserved, level.available


async def test_adjusts_stock_by_delta_and_to_a_value(client: CatalogClient, sku: str, events: EventRecorder) -> None:
    assert await adjust(client, sku, delta=5) == (15, 0, 15)
    assert await adjust(client, sku, delta=-7) == (8, 0, 8)
    assert await adjust(client, sku, set=3) == (3, 0, 3)
    adjusted = await events.wait_for_fields("stock_adjusted", sku=sku, on_hand=3)
    assert adjusted.name == "stock_adjusted"


async def test_movements_record_reason_and_account(
    client: CatalogClient, sku: str, database: Callable[[str], Awaitable[Any]]
) -> None:
    await adjust(client, sku, delta=-1)
    rows = await (await database("catalog")).fetch(
        "SELECT quantity, reason, who FROM stock_movement WHERE sku = $1 ORDER BY id", sku
    )
    assert [(row["quantity"], row["reason"]) for row in rows] == [(10, "created with the product"), (-1, "counted")]
    assert {row["who"] for row in rows} == {client.admin.user_id}


async def test_lists_movements_newest_first_with_the_units_after_each(client: CatalogClient, sku: str) -> None:
    hold = await client.hold(line(sku, 3))
    await client.publish_paid(hold.hold_id, sku, 3)
    await client.wait_for_stock(sku, on_hand=7, reserved=0)
    await adjust(client, sku, delta=-2)
    await client.publish_cancelled(hold.hold_id)
    await client.wait_for_stock(sku, on_hand=8, reserved=0)
    found: list[tuple[str, int, int]] = []
    orders: list[UUID | None] = []
    after: str | None = None
    for _ in range(4):
        page = await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": sku, "limit": 1, "after": after})
        (movement,) = page.items
        found.append((movement.kind, movement.quantity, movement.on_hand))
        orders.append(movement.order_id)
        after = page.next
    assert after is None
    assert found == [("returned", 3, 8), ("adjusted", -2, 5), ("sold", -3, 7), ("adjusted", 10, 10)]
    assert orders == [hold.hold_id, None, hold.hold_id, None]


@pytest.mark.parametrize("key", [("a", 1), (2**63, 1), (1, -(10**9) - 1), (0, 1), (1,)])
async def test_a_forged_cursor_of_movements_is_refused(client: CatalogClient, sku: str, key: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidCursor):
        await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": sku, "after": encode_cursor(*key)})


async def test_a_sku_without_stock_has_no_movements(client: CatalogClient) -> None:
    with pytest.raises(SkuUnknown):
        await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": "no-such-sku"})


async def test_on_hand_never_falls_below_reserved(client: CatalogClient, sku: str) -> None:
    await client.hold(line(sku, 6))
    for change in ({"delta": -5}, {"set": 5}):
        with pytest.raises(StockReserved):
            await adjust(client, sku, **change)
    assert await adjust(client, sku, delta=-4) == (6, 6, 0)


async def test_concurrent_adjustments_all_apply(client: CatalogClient, sku: str) -> None:
    await asyncio.gather(*(adjust(client, sku, delta=1) for _ in range(20)))
    assert await client.stock_level(sku) == (30, 0)


async def test_refuses_an_invalid_adjustment(client: CatalogClient, sku: str) -> None:
    with pytest.raises(InvalidRequest):
        await adjust(client, sku, delta=1_000_000_000)
    with pytest.raises(InvalidRequest):
        await adjust(client, sku, delta=1, set=1)


async def test_refuses_an_unknown_sku(client: CatalogClient) -> None:
    with pytest.raises(SkuUnknown):
        await adjust(client, "no-such-sku", delta=1)
    with pytest.raises(SkuUnknown):
        await client.stock_level("no-such-sku")


async def test_lists_low_stock_in_pages(client: CatalogClient, new_product: Callable[..., Awaitable[Product]]) -> None:
    prefix = f"zz-{new_id().hex}"
    for n in range(5):
        await new_product(sku=f"{prefix}-{n}", stock=n)
    found: list[str] = []
    after = None
    while True:
        page = await client.as_admin(catalog.LIST_STOCK, {"limit": 2, "after": after, "below": 3})
        found += [level.sku for level in page.items]
        assert all(level.available < 3 for level in page.items)
        if page.next is None:
            break
        after = page.next
    assert [sku for sku in found if sku.startswith(prefix)] == [f"{prefix}-{n}" for n in range(3)]
    assert len(found) == len(set(found))
    with pytest.raises(InvalidCursor):
        await client.as_admin(catalog.LIST_STOCK, {"after": "nonsense"})
