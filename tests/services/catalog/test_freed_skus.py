"""A product off sale leaves its slug and its SKUs to others, but neither its units nor its orders."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Product, SkuTaken, SkuUnknown, SlugTaken
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, line, usd
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually


def new_name() -> str:
    return f"lamp-{new_id().hex}"


async def create(
    client: CatalogClient, name: str, *, stock: int | None = 5, price: int = 500, **fields: Any
) -> Product:
    """A product with one variant, whose slug and SKU are its name."""
    body = {"name": name, "slug": name, "sku": name, "price": usd(price), **fields}
    if stock is not None:
        body["stock"] = stock
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def deactivate(client: CatalogClient, product: Product) -> None:
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})


async def change(client: CatalogClient, product: Product, **fields: Any) -> Product:
    changed: Product = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), **fields})
    return changed


async def read(client: CatalogClient, product: Product) -> Product:
    current: Product = await client.as_admin(catalog.GET_PRODUCT, {"key": str(product.id)})
    return current


async def reasons(client: CatalogClient, sku: str) -> list[tuple[str | None, int]]:
    movements = await client.as_admin(catalog.LIST_STOCK_MOVEMENTS, {"sku": sku})
    return [(movement.reason, movement.quantity) for movement in movements.items]


async def test_a_new_product_has_the_sku_and_the_slug_at_once_but_not_the_units(client: CatalogClient) -> None:
    name = new_name()
    old = await create(client, name, stock=8)
    await deactivate(client, old)
    new = await create(client, name, stock=3, price=900)
    assert new.slug == old.slug
    assert await client.edge(catalog.GET_PRODUCT, {"key": name}) == new
    assert await client.stock_level(name) == (3, 0)
    assert await reasons(client, name) == [
        ("created with the product", 3),
        ("units of the product that had this SKU before", -8),
        ("created with the product", 8),
    ]
    (held,) = (await client.hold(line(name, 1))).lines
    assert (held.product_id, held.unit_price.amount) == (new.id, 900)
    (variant,) = (await read(client, old)).variants
    assert (variant.sku, variant.price.amount, variant.available) == (name, 500, 0)


async def test_a_product_that_comes_back_needs_its_slug_and_its_skus(client: CatalogClient) -> None:
    name = new_name()
    old = await create(client, name)
    await deactivate(client, old)
    new = await create(client, name, slug=f"{name}-2")
    with pytest.raises(SkuTaken):
        await change(client, old, is_active=True)
    await change(client, new, slug=name)
    with pytest.raises(SlugTaken):
        await change(client, old, status="active")
    changed = await change(client, old, name="Lamp off sale")
    assert (changed.status, changed.slug, [variant.sku for variant in changed.variants]) == ("inactive", name, [name])
    with pytest.raises(SkuTaken):
        await change(client, old, variants=[{"sku": name, "price": usd(5), "stock": 7}])
    await deactivate(client, new)
    back = await change(client, old, is_active=True)
    assert [(variant.sku, variant.available) for variant in back.variants] == [(name, 0)]
    assert await client.edge(catalog.GET_PRODUCT, {"key": name}) == back
    assert (await read(client, new)).variants[0].available == 0


async def test_without_another_product_it_comes_back_with_its_units(client: CatalogClient) -> None:
    name = new_name()
    product = await create(client, name, stock=8)
    await client.hold(line(name, 2))
    await deactivate(client, product)
    back = await change(client, product, is_active=True)
    assert [(variant.sku, variant.available) for variant in back.variants] == [(name, 6)]


async def test_a_product_that_loses_one_of_several_skus_keeps_the_others(client: CatalogClient) -> None:
    other, lost = new_name(), new_name()
    variants = [
        {"sku": sku, "price": usd(100 + n), "options": {"Size": str(n)}, "stock": 4 + n}
        for n, sku in enumerate((lost, other))
    ]
    old: Product = await client.as_admin(catalog.CREATE_PRODUCT, {"name": other, "variants": variants})
    await deactivate(client, old)
    new = await create(client, lost, stock=9)
    for current in (await read(client, old), await change(client, old, name="Lamp off sale")):
        assert [(each.sku, each.available) for each in current.variants] == [(lost, 0), (other, 5)]
    assert await client.stock_level(lost) == (9, 0)
    back = await change(client, old, variants=[{"sku": other, "price": usd(1)}], is_active=True)
    assert [(each.sku, each.available) for each in back.variants] == [(other, 5)]
    assert (await client.edge(catalog.GET_PRODUCT, {"key": str(new.id)})).variants[0].available == 9


async def test_a_sku_that_orders_still_hold_is_free_once_they_are_settled(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    name = new_name()
    old = await create(client, name)
    hold = await client.hold(line(name, 2))
    await deactivate(client, old)
    with pytest.raises(SkuTaken) as refused:
        await create(client, name)
    assert refused.value.errors[0].pointer == "/sku"
    assert refused.value.errors[0].detail.startswith("Open orders hold")
    assert (await client.hold(line(name, 2), hold_id=hold.hold_id)).lines == hold.lines
    await client.publish_paid(hold.hold_id, name, 2)
    await client.wait_for_stock(name, 3, 0)
    new = await create(client, name, stock=1)
    await client.publish_cancelled(hold.hold_id)
    connection = await database("catalog")

    async def has_ended() -> bool:
        row = await connection.fetchrow("SELECT status, taken FROM hold WHERE id = $1", hold.hold_id)
        assert tuple(row) == ("cancelled", "nothing")
        return True

    await eventually(has_ended)
    assert await client.stock_level(name) == (1, 0), "what comes back are units of the other product"
    (held,) = (await client.hold(line(name, 1))).lines
    assert held.product_id == new.id


async def test_an_order_that_is_paid_late_gets_no_units_of_the_other_product(
    client: CatalogClient, events: EventRecorder, database: Callable[[str], Awaitable[Any]]
) -> None:
    name = new_name()
    old = await create(client, name)
    late, older = await client.hold(line(name, 2)), await client.hold(line(name, 1))
    for hold in (late, older):
        await client.order(catalog.RELEASE, {"hold_id": str(hold.hold_id)})
    await (await database("catalog")).execute("UPDATE hold SET product_ids = NULL WHERE id = $1", older.hold_id)
    await deactivate(client, old)
    await create(client, name)
    with pytest.raises(catalog.HoldMismatch):
        await client.hold(line(name, 2), hold_id=late.hold_id)
    for hold in (late, older):
        await client.publish_paid(hold.hold_id, name, 1)
        await events.wait_for(hold.hold_id, "hold_lost")
    assert await client.stock_level(name) == (5, 0)


async def test_a_removed_variant_leaves_its_sku_without_its_units(client: CatalogClient) -> None:
    name = new_name()
    old = await create(client, name)
    hold = await client.hold(line(name, 2))
    await client.publish_paid(hold.hold_id, name, 2)
    await client.wait_for_stock(name, 3, 0)
    await change(client, old, variants=[{"sku": f"{name}-2", "price": usd(5)}])
    await client.publish_cancelled(hold.hold_id)

    async def has_come_back() -> bool:
        assert (await reasons(client, name))[0] == (None, 2)
        return True

    await eventually(has_come_back)
    await create(client, name, slug=f"{name}-3", stock=1)
    assert await client.stock_level(name) == (1, 0)


async def test_one_of_many_products_gets_the_sku(client: CatalogClient) -> None:
    name = new_name()
    old = await create(client, name)
    await deactivate(client, old)

    async def take(number: int) -> Product | SkuTaken:
        try:
            return await create(client, name, slug=f"{name}-{number}")
        except SkuTaken as taken:
            return taken

    outcomes = await asyncio.gather(*map(take, range(6)))
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Product)]
    (held,) = (await client.hold(line(name, 5))).lines
    assert held.product_id == winner.id


@pytest.mark.parametrize("removes", [True, False], ids=["removes the variant", "keeps the variant"])
async def test_a_change_under_way_leaves_the_other_product_its_sku(
    client: CatalogClient,
    database: Callable[[str], Awaitable[Any]],
    removes: bool,  # noqa: FBT001 - a table
) -> None:
    name = new_name()
    old = await create(client, name, stock=8)
    await deactivate(client, old)
    fields = {"variants": [{"sku": f"{name}-2", "price": usd(5)}]} if removes else {"name": "Lamp off sale"}
    connection = await database("catalog")

    async def waits() -> bool:
        assert await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return True

    async with connection.transaction():
        await connection.execute("SELECT FROM product_document WHERE product_id = $1 FOR UPDATE", old.id)
        change_under_way = asyncio.create_task(change(client, old, **fields))
        await eventually(waits)
        new = await create(client, name)
    changed = await change_under_way
    assert [variant.available for variant in changed.variants] == [0]
    assert await client.stock_level(name) == (5, 0)
    (held,) = (await client.hold(line(name, 5))).lines
    assert held.product_id == new.id


async def test_products_off_sale_take_no_sku(client: CatalogClient) -> None:
    name = new_name()
    first = await create(client, name, stock=8)
    await deactivate(client, first)
    second = await create(client, name, stock=None, status="inactive")
    assert second.status == "inactive"
    with pytest.raises(SkuUnknown):
        await client.hold(line(name, 1))
    back = await change(client, first, is_active=True)
    assert back.variants[0].available == 8
    with pytest.raises(SkuTaken):
        await change(client, second, is_active=True, slug=f"{name}-2")
