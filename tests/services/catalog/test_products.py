"""Products are created, changed and taken off sale."""

from collections.abc import Awaitable, Callable
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
from services.catalog.domain.slugs import RESERVED_SLUGS
from tests.services.catalog.conftest import CatalogClient, line, usd
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import customer_identity


def new_sku() -> str:
    return f"P-{new_id().hex}"


def product_body(*skus: str, **fields: Any) -> dict[str, Any]:
    variants = [
        {"sku": sku, "price": usd(500 + n), "options": {"Size": str(n)}, "stock": 5} for n, sku in enumerate(skus)
    ]
    return {"name": f"Lamp {new_id().hex}", "variants": variants, **fields}


async def create(client: CatalogClient, *skus: str, **fields: Any) -> Product:
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, product_body(*skus, **fields))
    return product


async def version_of(client: CatalogClient, key: UUID | str) -> int:
    _, reply_headers = await client.edge.raw(catalog.GET_PRODUCT, {"key": str(key)}, identity=client.admin)
    return int(reply_headers["Souk-Version"])


async def test_creates_a_product_with_all_fields(client: CatalogClient, events: EventRecorder) -> None:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Lamps {new_id().hex}"})
    skus = [new_sku(), new_sku()]
    request = product_body(
        *skus, description="<b>100 %</b><script>x</script>", tags=["a", "b", "a"], attributes={"Of": "brass"}
    )
    request["category_id"] = str(category.id)
    product = await client.as_admin(catalog.CREATE_PRODUCT, request)
    assert product.slug == request["name"].lower().replace(" ", "-")
    assert product.description == "<b>100 %</b>"
    assert (product.category, product.tags, product.attributes) == (category.slug, ["a", "b"], {"Of": "brass"})
    assert product.price.amount == 500
    assert [(variant.sku, variant.price.amount, variant.available) for variant in product.variants] == [
        (skus[0], 500, 5),
        (skus[1], 501, 5),
    ]
    assert (product.rating.average, product.rating.count, product.is_active) == (0, 0, True)
    for key in (str(product.id), product.slug):
        assert await client.edge(catalog.GET_PRODUCT, {"key": key}) == product
    assert await version_of(client, product.id) == 1
    await events.wait_for(product.id, "created")
    await events.wait_for(product.id, "stock_adjusted")


async def test_creates_a_product_in_the_short_form(client: CatalogClient) -> None:
    request = {"name": "Lamp", "sku": new_sku(), "price": usd(700), "compare_at_price": usd(900), "weight_grams": 50}
    product = await client.as_admin(catalog.CREATE_PRODUCT, request)
    (variant,) = product.variants
    assert (variant.available, variant.weight_grams, variant.options) == (0, 50, {})
    assert variant.compare_at_price is not None
    assert variant.compare_at_price.amount == 900


async def test_makes_slugs_unique_and_refuses_a_requested_slug_that_is_taken(client: CatalogClient) -> None:
    slug = f"lamp-{new_id().hex}"
    first = await create(client, new_sku(), name=slug)
    second = await create(client, new_sku(), name=slug)
    assert first.slug == slug
    assert second.slug.startswith(f"{slug}-")
    with pytest.raises(SlugTaken) as taken:
        await create(client, new_sku(), slug=slug)
    assert taken.value.errors[0].pointer == "/slug"
    with pytest.raises(SlugTaken):
        await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(second.id), "slug": slug})


async def test_a_sku_belongs_to_one_product(client: CatalogClient) -> None:
    taken = new_sku()
    await create(client, taken)
    with pytest.raises(SkuTaken) as refused:
        await create(client, new_sku(), taken)
    assert [error.pointer for error in refused.value.errors] == ["/variants/1/sku"]
    with pytest.raises(SkuTaken) as refused:
        await client.as_admin(catalog.CREATE_PRODUCT, {"name": "x", "sku": taken, "price": usd(1)})
    assert [error.pointer for error in refused.value.errors] == ["/sku"]
    again = new_sku()
    with pytest.raises(InvalidRequest) as twice:
        await create(client, again, again)
    assert [error.pointer for error in twice.value.errors] == ["/variants/1/sku"]


async def test_the_shop_sells_in_one_currency(client: CatalogClient) -> None:
    euros = {"amount": 5, "currency": "EUR"}
    with pytest.raises(CurrencyMismatch) as refused:
        await client.as_admin(
            catalog.CREATE_PRODUCT, {"name": "x", "sku": new_sku(), "price": usd(1), "compare_at_price": euros}
        )
    assert refused.value.errors[0].pointer == "/compare_at_price/currency"
    product = await create(client, new_sku())
    with pytest.raises(CurrencyMismatch):
        await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "price": euros})


async def test_refuses_an_unknown_category(client: CatalogClient) -> None:
    with pytest.raises(CategoryUnknown) as refused:
        await create(client, new_sku(), category_id=str(new_id()))
    assert refused.value.errors[0].pointer == "/category_id"
    product = await create(client, new_sku())
    with pytest.raises(CategoryUnknown):
        await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "category_id": str(new_id())})


async def test_only_administrators_change_products(client: CatalogClient) -> None:
    with pytest.raises(Unauthorized):
        await client.edge(catalog.CREATE_PRODUCT, product_body(new_sku()))
    with pytest.raises(Forbidden):
        await client.edge(catalog.CREATE_PRODUCT, product_body(new_sku()), identity=customer_identity())


async def test_replacing_keeps_the_stock_of_skus_that_stay(client: CatalogClient, events: EventRecorder) -> None:
    stays, goes, comes = new_sku(), new_sku(), new_sku()
    product = await create(client, stays, goes)
    await client.hold(line(stays, 2))
    request = {
        "id": str(product.id),
        "name": "Lantern",
        "variants": [
            {"sku": comes, "price": usd(300), "options": {"Size": "new"}, "stock": 1},
            {"sku": stays, "price": usd(400), "options": {"Size": "old"}},
        ],
    }
    after = await client.as_admin(catalog.REPLACE_PRODUCT, request, if_match=1)
    assert (after.slug, after.name, after.description) == (product.slug, "Lantern", "")
    assert [(variant.sku, variant.price.amount, variant.available) for variant in after.variants] == [
        (comes, 300, 1),
        (stays, 400, 3),
    ]
    assert after.price.amount == 300
    assert after.created_at == product.created_at
    assert await client.stock_level(stays) == (5, 2)
    with pytest.raises(catalog.SkuUnknown):
        await client.stock_level(goes)
    await events.wait_for(product.id, "updated")
    await create(client, goes)
    assert await client.stock_level(goes) == (5, 0)


async def test_a_variant_on_hold_cannot_be_removed(client: CatalogClient) -> None:
    one, other = new_sku(), new_sku()
    product = await create(client, one, other)
    await client.hold(line(one, 1))
    change = {"id": str(product.id), "variants": [{"sku": other, "price": usd(1)}]}
    with pytest.raises(VariantInUse):
        await client.as_admin(catalog.CHANGE_PRODUCT, change)
    after = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    assert [variant.sku for variant in after.variants] == [one, other]


async def test_stock_set_with_a_product_never_falls_below_reserved(client: CatalogClient) -> None:
    one = new_sku()
    product = await create(client, one)
    await client.hold(line(one, 3))
    change = {"id": str(product.id), "variants": [{"sku": one, "price": usd(1), "stock": 2}]}
    with pytest.raises(StockReserved) as refused:
        await client.as_admin(catalog.CHANGE_PRODUCT, change)
    assert refused.value.errors[0].pointer == "/variants/0/stock"
    change["variants"][0]["stock"] = 9  # type: ignore[index]
    after = await client.as_admin(catalog.CHANGE_PRODUCT, change)
    assert after.variants[0].available == 6


async def test_patch_changes_only_the_fields_it_has(client: CatalogClient) -> None:
    category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"C {new_id().hex}"})
    product = await create(client, new_sku(), tags=["old"], category_id=str(category.id))
    after = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "tags": ["new"], "price": usd(42)})
    assert (after.tags, after.price.amount, after.name) == (["new"], 42, product.name)
    assert after.category == category.slug
    after = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "category_id": None, "name": "Torch"})
    assert (after.category, after.name, after.tags) == (None, "Torch", ["new"])
    held = await client.hold(line(product.variants[0].sku, 1))
    assert (held.lines[0].name, held.lines[0].unit_price.amount) == ("Torch", 42)


async def test_a_price_alone_needs_a_single_variant(client: CatalogClient) -> None:
    product = await create(client, new_sku(), new_sku())
    with pytest.raises(InvalidRequest) as refused:
        await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "price": usd(42)})
    assert refused.value.errors[0].pointer == "/price"


async def test_refuses_a_change_to_another_version(client: CatalogClient) -> None:
    product = await create(client, new_sku())
    change = {"id": str(product.id), "name": "Torch"}
    await client.as_admin(catalog.CHANGE_PRODUCT, change, if_match=1)
    for operation, request in (
        (catalog.CHANGE_PRODUCT, change),
        (catalog.REPLACE_PRODUCT, {**product_body(new_sku()), "id": str(product.id)}),
        (catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)}),
    ):
        with pytest.raises(PreconditionFailed):
            await client.as_admin(operation, request, if_match=1)
    assert await version_of(client, product.id) == 2


async def test_a_deactivated_product_is_not_sold_and_only_administrators_see_it(
    client: CatalogClient, events: EventRecorder
) -> None:
    one = new_sku()
    product = await create(client, one)
    for _ in range(2):
        await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})
    for key in (str(product.id), product.slug):
        with pytest.raises(NotFound):
            await client.edge(catalog.GET_PRODUCT, {"key": key}, identity=customer_identity())
        assert not (await client.as_admin(catalog.GET_PRODUCT, {"key": key})).is_active
    with pytest.raises(catalog.SkuUnknown):
        await client.hold(line(one, 1))
    assert (await client.cart(catalog.QUOTE, {"skus": [one]})).items == []
    await events.wait_for(product.id, "deactivated")
    assert events.event_names(product.id).count("deactivated") == 1
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "is_active": True})
    await client.hold(line(one, 1))


async def test_one_idempotency_key_creates_one_product(client: CatalogClient) -> None:
    request = product_body(new_sku())
    first, _ = await client.edge.raw(
        catalog.CREATE_PRODUCT, request, identity=client.admin, key="once-" + request["name"]
    )
    again, found = await client.edge.raw(
        catalog.CREATE_PRODUCT, request, identity=client.admin, key="once-" + request["name"]
    )
    assert first == again
    assert found["Souk-Replayed"] == "true"


async def test_an_unknown_product_is_not_found(client: CatalogClient) -> None:
    for operation in (catalog.CHANGE_PRODUCT, catalog.DEACTIVATE_PRODUCT):
        with pytest.raises(NotFound):
            await client.as_admin(operation, {"id": str(new_id())})
    for key in (str(new_id()), "no-such-thing"):
        with pytest.raises(NotFound):
            await client.edge(catalog.GET_PRODUCT, {"key": key})


async def test_a_quote_has_price_and_stock_of_skus_on_sale(client: CatalogClient) -> None:
    one, other = new_sku(), new_sku()
    product = await create(client, one, other)
    quotes = (await client.cart(catalog.QUOTE, {"skus": [other, one, "no-such-sku"]})).items
    assert {quote.sku: (quote.unit_price.amount, quote.available, quote.options) for quote in quotes} == {
        one: (500, 5, {"Size": "0"}),
        other: (501, 5, {"Size": "1"}),
    }
    assert {quote.product_id for quote in quotes} == {product.id}


def sizes(*options: dict[str, str]) -> list[dict[str, Any]]:
    return [{"sku": new_sku(), "price": usd(5), "options": one} for one in options]


UNCLEAR = {
    "equal": ([{"Size": "S"}, {"Size": "M"}, {"Size": "S"}], ["/variants/2/options"]),
    "without options": ([{}, {}], ["/variants/1/options"]),
    "with other names": ([{"Size": "S"}, {"Colour": "S"}], ["/variants/1/options"]),
    "with a name more": ([{"Size": "S"}, {"Size": "M", "Colour": "Red"}], ["/variants/1/options"]),
    "equal in another order": ([{"A": "1", "B": "2"}, {"B": "2", "A": "1"}], ["/variants/1/options"]),
}


@pytest.mark.parametrize(("options", "pointers"), UNCLEAR.values(), ids=UNCLEAR)
async def test_variants_that_options_do_not_tell_apart_are_refused(
    client: CatalogClient, options: list[dict[str, str]], pointers: list[str]
) -> None:
    product = await create(client, new_sku())
    requests = [
        (catalog.CREATE_PRODUCT, {"name": "Shirt"}),
        (catalog.REPLACE_PRODUCT, {"name": "Shirt", "id": str(product.id)}),
        (catalog.CHANGE_PRODUCT, {"id": str(product.id)}),
    ]
    for operation, body in requests:
        with pytest.raises(InvalidRequest) as refused:
            await client.as_admin(operation, {**body, "variants": sizes(*options)})
        assert [error.pointer for error in refused.value.errors] == pointers
    clear = sizes({"Size": "S", "Colour": "Red"}, {"Colour": "Blue", "Size": "S"})
    await client.as_admin(catalog.CREATE_PRODUCT, {"name": "Shirt", "variants": clear})


@pytest.mark.parametrize("word", sorted(RESERVED_SLUGS))
async def test_a_slug_may_not_be_a_word_of_a_path(client: CatalogClient, word: str) -> None:
    product = await create(client, new_sku(), name=word.capitalize())
    assert product.slug.startswith(f"{word}-")
    body = product_body(new_sku(), slug=word)
    for operation, request in (
        (catalog.CREATE_PRODUCT, body),
        (catalog.REPLACE_PRODUCT, {**body, "id": str(product.id)}),
        (catalog.CHANGE_PRODUCT, {"id": str(product.id), "slug": word}),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await client.as_admin(operation, request)
        assert [error.pointer for error in refused.value.errors] == ["/slug"]


async def test_a_product_that_has_a_reserved_slug_may_keep_it(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    product = await create(client, sku := new_sku())
    await (await database("catalog")).execute("UPDATE product SET slug = 'export' WHERE id = $1", product.id)
    request = {**product_body(sku), "id": str(product.id)}
    for slug in ("export", f"exported-{new_id().hex}"):
        assert (await client.as_admin(catalog.REPLACE_PRODUCT, {**request, "slug": slug})).slug == slug
