"""Products made, changed and taken off sale."""

from typing import Any
from uuid import UUID

import pytest

from contracts import catalog
from contracts.catalog import (
    CategoryUnknown,
    CurrencyMismatch,
    Product,
    SkuTaken,
    SlugTaken,
    StockReserved,
    VariantInUse,
)
from contracts.failure import Forbidden, InvalidRequest, NotFound, PreconditionFailed, Unauthorized
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, line, usd
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import customer_identity


def sku() -> str:
    return f"P-{new_id().hex}"


def body(*skus: str, **more: Any) -> dict[str, Any]:
    variants = [
        {"sku": one, "price": usd(500 + n), "options": {"Size": str(n)}, "stock": 5} for n, one in enumerate(skus)
    ]
    return {"name": f"Lamp {new_id().hex}", "variants": variants, **more}


async def create(shelf: CatalogClient, *skus: str, **more: Any) -> Product:
    product: Product = await shelf.as_admin(catalog.CREATE_PRODUCT, body(*skus, **more))
    return product


async def version_of(shelf: CatalogClient, key: UUID | str) -> int:
    _, found = await shelf.edge.raw(catalog.GET_PRODUCT, {"key": str(key)}, identity=shelf.admin)
    return int(found["Souk-Version"])


async def test_a_product_comes_with_all_that_was_said(shelf: CatalogClient, events: EventRecorder) -> None:
    category = await shelf.as_admin(catalog.CREATE_CATEGORY, {"name": f"Lamps {new_id().hex}"})
    skus = [sku(), sku()]
    said = body(*skus, description="<b>100 %</b><script>x</script>", tags=["a", "b", "a"], attributes={"Of": "brass"})
    said["category_id"] = str(category.id)
    product = await shelf.as_admin(catalog.CREATE_PRODUCT, said)
    assert product.slug == said["name"].lower().replace(" ", "-")
    assert product.description == "<b>100 %</b>"
    assert (product.category, product.tags, product.attributes) == (category.slug, ["a", "b"], {"Of": "brass"})
    assert product.price.amount == 500
    assert [(one.sku, one.price.amount, one.available) for one in product.variants] == [
        (skus[0], 500, 5),
        (skus[1], 501, 5),
    ]
    assert (product.rating.average, product.rating.count, product.is_active) == (0, 0, True)
    for key in (str(product.id), product.slug):
        assert await shelf.edge(catalog.GET_PRODUCT, {"key": key}) == product
    assert await version_of(shelf, product.id) == 1
    await events.wait_for(product.id, "created")
    await events.wait_for(product.id, "stock_adjusted")


async def test_a_product_with_one_variant_is_said_in_short(shelf: CatalogClient) -> None:
    said = {"name": "Lamp", "sku": sku(), "price": usd(700), "compare_at_price": usd(900), "weight_grams": 50}
    product = await shelf.as_admin(catalog.CREATE_PRODUCT, said)
    (variant,) = product.variants
    assert (variant.available, variant.weight_grams, variant.options) == (0, 50, {})
    assert variant.compare_at_price is not None
    assert variant.compare_at_price.amount == 900


async def test_slugs_are_made_unique_and_those_asked_for_are_refused(shelf: CatalogClient) -> None:
    slug = f"lamp-{new_id().hex}"
    first = await create(shelf, sku(), name=slug)
    second = await create(shelf, sku(), name=slug)
    assert first.slug == slug
    assert second.slug.startswith(f"{slug}-")
    with pytest.raises(SlugTaken) as taken:
        await create(shelf, sku(), slug=slug)
    assert taken.value.errors[0].pointer == "/slug"
    with pytest.raises(SlugTaken):
        await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(second.id), "slug": slug})


async def test_a_sku_is_of_one_product(shelf: CatalogClient) -> None:
    taken = sku()
    await create(shelf, taken)
    with pytest.raises(SkuTaken) as refused:
        await create(shelf, sku(), taken)
    assert [error.pointer for error in refused.value.errors] == ["/variants/1/sku"]
    with pytest.raises(SkuTaken) as refused:
        await shelf.as_admin(catalog.CREATE_PRODUCT, {"name": "x", "sku": taken, "price": usd(1)})
    assert [error.pointer for error in refused.value.errors] == ["/sku"]
    again = sku()
    with pytest.raises(InvalidRequest) as twice:
        await create(shelf, again, again)
    assert [error.pointer for error in twice.value.errors] == ["/variants/1/sku"]


async def test_the_shop_sells_in_one_currency(shelf: CatalogClient) -> None:
    euros = {"amount": 5, "currency": "EUR"}
    with pytest.raises(CurrencyMismatch) as refused:
        await shelf.as_admin(
            catalog.CREATE_PRODUCT, {"name": "x", "sku": sku(), "price": usd(1), "compare_at_price": euros}
        )
    assert refused.value.errors[0].pointer == "/compare_at_price/currency"
    product = await create(shelf, sku())
    with pytest.raises(CurrencyMismatch):
        await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "price": euros})


async def test_the_category_must_be_there(shelf: CatalogClient) -> None:
    with pytest.raises(CategoryUnknown) as refused:
        await create(shelf, sku(), category_id=str(new_id()))
    assert refused.value.errors[0].pointer == "/category_id"
    product = await create(shelf, sku())
    with pytest.raises(CategoryUnknown):
        await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "category_id": str(new_id())})


async def test_only_administrators_write(shelf: CatalogClient) -> None:
    with pytest.raises(Unauthorized):
        await shelf.edge(catalog.CREATE_PRODUCT, body(sku()))
    with pytest.raises(Forbidden):
        await shelf.edge(catalog.CREATE_PRODUCT, body(sku()), identity=customer_identity())


async def test_replacing_keeps_the_stock_of_skus_that_stay(shelf: CatalogClient, events: EventRecorder) -> None:
    stays, goes, comes = sku(), sku(), sku()
    product = await create(shelf, stays, goes)
    await shelf.hold(line(stays, 2))
    said = {
        "id": str(product.id),
        "name": "Lantern",
        "variants": [{"sku": comes, "price": usd(300), "stock": 1}, {"sku": stays, "price": usd(400)}],
    }
    after = await shelf.as_admin(catalog.REPLACE_PRODUCT, said, if_match=1)
    assert (after.slug, after.name, after.description) == (product.slug, "Lantern", "")
    assert [(one.sku, one.price.amount, one.available) for one in after.variants] == [(comes, 300, 1), (stays, 400, 3)]
    assert after.price.amount == 300
    assert after.created_at == product.created_at
    assert await shelf.stock_level(stays) == (5, 2)
    with pytest.raises(catalog.SkuUnknown):
        await shelf.stock_level(goes)
    await events.wait_for(product.id, "updated")
    await create(shelf, goes)
    assert await shelf.stock_level(goes) == (5, 0)


async def test_a_variant_on_hold_cannot_go(shelf: CatalogClient) -> None:
    one, other = sku(), sku()
    product = await create(shelf, one, other)
    await shelf.hold(line(one, 1))
    change = {"id": str(product.id), "variants": [{"sku": other, "price": usd(1)}]}
    with pytest.raises(VariantInUse):
        await shelf.as_admin(catalog.CHANGE_PRODUCT, change)
    kept = await shelf.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert [variant.sku for variant in kept.variants] == [one, other]


async def test_stock_set_with_a_product_stays_above_what_is_reserved(shelf: CatalogClient) -> None:
    one = sku()
    product = await create(shelf, one)
    await shelf.hold(line(one, 3))
    change = {"id": str(product.id), "variants": [{"sku": one, "price": usd(1), "stock": 2}]}
    with pytest.raises(StockReserved) as refused:
        await shelf.as_admin(catalog.CHANGE_PRODUCT, change)
    assert refused.value.errors[0].pointer == "/variants/0/stock"
    change["variants"][0]["stock"] = 9  # type: ignore[index]
    after = await shelf.as_admin(catalog.CHANGE_PRODUCT, change)
    assert after.variants[0].available == 6


async def test_changing_changes_what_is_named(shelf: CatalogClient) -> None:
    category = await shelf.as_admin(catalog.CREATE_CATEGORY, {"name": f"C {new_id().hex}"})
    product = await create(shelf, sku(), tags=["old"], category_id=str(category.id))
    after = await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "tags": ["new"], "price": usd(42)})
    assert (after.tags, after.price.amount, after.name) == (["new"], 42, product.name)
    assert after.category == category.slug
    after = await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "category_id": None, "name": "Torch"})
    assert (after.category, after.name, after.tags) == (None, "Torch", ["new"])
    held = await shelf.hold(line(product.variants[0].sku, 1))
    assert (held.lines[0].name, held.lines[0].unit_price.amount) == ("Torch", 42)


async def test_a_price_alone_is_for_one_variant(shelf: CatalogClient) -> None:
    product = await create(shelf, sku(), sku())
    with pytest.raises(InvalidRequest) as refused:
        await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "price": usd(42)})
    assert refused.value.errors[0].pointer == "/price"


async def test_who_has_seen_another_version_changes_nothing(shelf: CatalogClient) -> None:
    product = await create(shelf, sku())
    change = {"id": str(product.id), "name": "Torch"}
    await shelf.as_admin(catalog.CHANGE_PRODUCT, change, if_match=1)
    for operation, said in (
        (catalog.CHANGE_PRODUCT, change),
        (catalog.REPLACE_PRODUCT, {**body(sku()), "id": str(product.id)}),
        (catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}),
    ):
        with pytest.raises(PreconditionFailed):
            await shelf.as_admin(operation, said, if_match=1)
    assert await version_of(shelf, product.id) == 2


async def test_what_is_deactivated_is_not_sold_and_seen_by_administrators_only(
    shelf: CatalogClient, events: EventRecorder
) -> None:
    one = sku()
    product = await create(shelf, one)
    for _ in range(2):
        await shelf.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})
    for key in (str(product.id), product.slug):
        with pytest.raises(NotFound):
            await shelf.edge(catalog.GET_PRODUCT, {"key": key}, identity=customer_identity())
        assert not (await shelf.as_admin(catalog.GET_PRODUCT, {"key": key})).is_active
    with pytest.raises(catalog.SkuUnknown):
        await shelf.hold(line(one, 1))
    assert (await shelf.cart(catalog.QUOTE, {"skus": [one]})).items == []
    await events.wait_for(product.id, "deactivated")
    assert events.event_names(product.id).count("deactivated") == 1
    await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "is_active": True})
    await shelf.hold(line(one, 1))


async def test_one_key_makes_one_product(shelf: CatalogClient) -> None:
    said = body(sku())
    first, _ = await shelf.edge.raw(catalog.CREATE_PRODUCT, said, identity=shelf.admin, key="once-" + said["name"])
    again, found = await shelf.edge.raw(catalog.CREATE_PRODUCT, said, identity=shelf.admin, key="once-" + said["name"])
    assert first == again
    assert found["Souk-Replayed"] == "true"


async def test_nothing_is_found_where_nothing_is(shelf: CatalogClient) -> None:
    for operation in (catalog.CHANGE_PRODUCT, catalog.DEACTIVATE_PRODUCT):
        with pytest.raises(NotFound):
            await shelf.as_admin(operation, {"id": str(new_id())})
    for key in (str(new_id()), "no-such-thing"):
        with pytest.raises(NotFound):
            await shelf.edge(catalog.GET_PRODUCT, {"key": key})


async def test_a_quote_says_price_and_stock_of_what_is_on_sale(shelf: CatalogClient) -> None:
    one, other = sku(), sku()
    product = await create(shelf, one, other)
    quotes = (await shelf.cart(catalog.QUOTE, {"skus": [other, one, "no-such-sku"]})).items
    assert {quote.sku: (quote.unit_price.amount, quote.available, quote.options) for quote in quotes} == {
        one: (500, 5, {"Size": "0"}),
        other: (501, 5, {"Size": "1"}),
    }
    assert {quote.product_id for quote in quotes} == {product.id}
