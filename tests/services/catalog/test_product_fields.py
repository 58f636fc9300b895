"""Vendor, tax category, breadcrumbs and texts for search engines of products; barcode and cost of variants."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from contracts import catalog
from contracts.catalog import Category, CurrencyMismatch, Product
from contracts.failure import InvalidRequest
from infra.foundation.ids import new_id
from services.catalog.store import product_documents
from tests.services.catalog.conftest import CatalogClient, ImportFiles, line, usd
from tests.support.eventually import eventually
from tests.support.rpc import customer_identity

COST = 773_311
"""An amount that no other field has by chance."""
SEO = {"title": "Brass lamps", "description": "Lamps of brass, made by hand."}


def body_of(sku: str, **fields: Any) -> dict[str, Any]:
    return {"name": f"Lamp {sku}", "sku": sku, "price": usd(1999), "stock": 5, **fields}


@pytest.fixture
def sku() -> str:
    return f"F-{new_id().hex}"


async def create(client: CatalogClient, sku: str, **fields: Any) -> Product:
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body_of(sku, **fields))
    return product


async def read(client: CatalogClient, product: Product) -> Product:
    """The product as shoppers see it."""
    found: Product = await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})
    return found


def costs_of(product: Product) -> list[int | None]:
    return [variant.cost.amount if variant.cost else None for variant in product.variants]


async def test_a_product_has_the_fields_that_it_was_given(client: CatalogClient, sku: str) -> None:
    plain = await create(client, sku)
    assert (plain.vendor, plain.tax_category, plain.breadcrumbs) == (None, "standard", [])
    assert (plain.seo.title, plain.seo.description) == (None, None)
    assert (plain.variants[0].barcode, plain.variants[0].requires_shipping) == (None, True)

    fields = {"vendor": " Acme ", "tax_category": "books", "seo": SEO, "barcode": "400 638", "requires_shipping": False}
    created = await create(client, f"{sku}-2", **fields)
    assert await read(client, created) == created
    assert (created.vendor, created.tax_category, created.seo.model_dump()) == ("Acme", "books", SEO)
    assert (created.variants[0].barcode, created.variants[0].requires_shipping) == ("400 638", False)

    changed = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(created.id), "vendor": None, "seo": {}})
    assert (changed.vendor, changed.tax_category, changed.seo.title) == (None, "books", None)
    replaced = await client.as_admin(catalog.REPLACE_PRODUCT, {"id": str(created.id), **body_of(f"{sku}-2")})
    assert (replaced.tax_category, replaced.variants[0].requires_shipping) == ("standard", True)
    assert await read(client, created) == replaced


@pytest.mark.parametrize(
    "fields",
    [
        {"barcode": " 1"},
        {"barcode": "9" * 65},
        {"tax_category": "Books"},
        {"seo": {"title": "x\ny"}},
        {"vendor": " "},
        {"variants": [{"sku": "x", "price": usd(1)}], "cost": usd(1)},
    ],
    ids=["blank", "long barcode", "capitals", "two lines", "no vendor", "cost beside variants"],
)
async def test_invalid_fields_are_refused(client: CatalogClient, sku: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await create(client, sku, **fields)


async def test_only_administrators_see_the_cost(client: CatalogClient, sku: str) -> None:
    created = await create(client, sku, cost=usd(COST), tags=[sku.lower()])
    assert costs_of(created) == [COST]
    key = {"key": str(created.id)}
    assert costs_of(await client.as_admin(catalog.GET_PRODUCT, key)) == [COST]
    for operation, body in (
        (catalog.GET_PRODUCT, key),
        (catalog.GET_PRODUCTS, {"items": [key]}),
        (catalog.LIST_PRODUCTS, {"tag": sku.lower()}),
        (catalog.SEARCH_PRODUCTS, {"q": sku}),
    ):
        for identity in (None, customer_identity()):
            reply, _ = await client.edge.raw(operation, body, identity=identity)
            assert sku.encode() in reply
            assert b'cost"' not in reply
            assert str(COST).encode() not in reply
    quoted, _ = await client.cart.raw(catalog.QUOTE, {"skus": [sku]})
    held, _ = await client.order.raw(catalog.HOLD, {"hold_id": str(new_id()), "lines": [line(sku, 1)], "seconds": 60})
    assert str(COST).encode() not in quoted + held


async def test_a_cost_stays_until_a_request_states_another_one(client: CatalogClient, sku: str) -> None:
    product = await create(client, sku, cost=usd(COST))
    for body in ({"variants": [{"sku": sku, "price": usd(5)}]}, {"name": "Lamp", "tags": ["x"]}):
        changed = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), **body})
        assert costs_of(changed) == [COST]
    replaced = await client.as_admin(catalog.REPLACE_PRODUCT, {"id": str(product.id), **body_of(sku)})
    assert costs_of(replaced) == [COST]
    with pytest.raises(CurrencyMismatch) as refused:
        await create(client, f"{sku}-2", cost={"amount": 1, "currency": "EUR"})
    assert refused.value.errors[0].pointer == "/cost/currency"
    removed = await client.as_admin(catalog.REPLACE_PRODUCT, {"id": str(product.id), **body_of(sku, cost=None)})
    assert costs_of(removed) == [None]


async def test_a_product_off_sale_keeps_the_fields_of_a_sku_that_another_one_takes(
    client: CatalogClient, sku: str
) -> None:
    former = await create(client, sku, barcode="123", cost=usd(COST), requires_shipping=False, stock=0)
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(former.id)})
    await create(client, sku)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(former.id), "tags": ["x"]})
    found: Product = await client.as_admin(catalog.GET_PRODUCT, {"key": str(former.id)})
    assert costs_of(found) == [COST]
    assert (found.variants[0].barcode, found.variants[0].requires_shipping) == ("123", False)


async def test_search_finds_barcode_and_vendor(client: CatalogClient, sku: str) -> None:
    barcode, vendor = f"40 {sku[2:]}", f"Maker{sku[2:]}"
    created = await create(client, sku, barcode=barcode, vendor=f"{vendor} & Sons")
    for q in (barcode, barcode.upper(), vendor, f"{vendor[:-3]}"):
        found = await client.edge(catalog.LIST_PRODUCTS, {"q": q})
        assert [product.id for product in found.items] == [created.id], q


async def test_a_hold_states_how_its_lines_are_taxed_and_shipped(client: CatalogClient, sku: str) -> None:
    await create(client, sku, tax_category="books", weight_grams=250)
    await create(client, f"{sku}-2", requires_shipping=False)
    hold = await client.hold(line(sku, 2), line(f"{sku}-2", 1))
    assert [(one.tax_category, one.requires_shipping, one.weight_grams) for one in hold.lines] == [
        ("books", True, 250),
        ("standard", False, None),
    ]
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(hold.lines[0].product_id), "tax_category": "food"})
    assert (await client.hold(line(sku, 1))).lines[0].tax_category == "food"


async def test_breadcrumbs_follow_the_tree(client: CatalogClient, sku: str) -> None:
    top, middle, bottom = [await _create_category(client, name) for name in ("Home", 'Lamps "old" \\ %s', "Brass")]
    product = await create(client, sku, category_id=str(bottom.id))
    assert await _path(client, product) == ["Brass"]
    await _place(client, middle, top)
    await _place(client, bottom, middle)
    assert await _path(client, product) == ["Home", 'Lamps "old" \\ %s', "Brass"]
    renamed = await client.as_admin(
        catalog.REPLACE_CATEGORY, {"id": str(top.id), "name": "Everything", "slug": f"every-{top.slug}"}
    )
    listed = await client.edge(catalog.LIST_PRODUCTS, {"q": sku})
    assert [(one.slug, one.name) for one in listed.items[0].breadcrumbs] == [
        (renamed.slug, "Everything"),
        (middle.slug, 'Lamps "old" \\ %s'),
        (bottom.slug, "Brass"),
    ]
    await client.as_admin(catalog.REPLACE_CATEGORY, {"id": str(bottom.id), "name": "Copper"})
    assert await _path(client, product) == ["Copper"]
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "category_id": None})
    assert await _path(client, product) == []


async def test_a_new_category_has_the_path_that_its_parent_gets_at_the_same_moment(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    """The first of the two is still under way when the second begins, which waits for it."""
    top = await _create_category(client, "Before")
    parent = await _create_category(client, "Parent", parent_id=str(top.id))
    connection = await database("catalog")

    async def is_waited_for() -> bool:
        assert await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return True

    async with connection.transaction():
        await connection.execute("UPDATE category SET name = 'After' WHERE id = $1", top.id)
        creation = asyncio.create_task(_create_category(client, "Child", parent_id=str(parent.id)))
        await eventually(is_waited_for)
    await creation
    async with connection.transaction():
        insert = "INSERT INTO category (id, slug, name, parent_id) VALUES ($1, $2, 'Child', $3)"
        await connection.execute(insert, new_id(), f"c-{new_id().hex}", parent.id)
        body = {"id": str(top.id), "name": "Afterwards"}
        renaming = asyncio.create_task(client.as_admin(catalog.REPLACE_CATEGORY, body))
        await eventually(is_waited_for)
        assert await _paths_below(connection, parent) == [["After", "Parent", "Child"]] * 2
    await renaming
    assert await _paths_below(connection, parent) == [["Afterwards", "Parent", "Child"]] * 2


async def test_a_product_of_an_older_release_has_the_default_fields(
    client: CatalogClient, sku: str, database: Callable[[str], Awaitable[Any]], files: ImportFiles
) -> None:
    """Its document lacks them, and its vendor is an attribute, which a file with another vendor removes."""
    new = await create(client, sku, attributes={"Vendor": 'Acme "B"', "Of": "tin"})
    connection = await database("catalog")
    stored: str = await connection.fetchval("SELECT document FROM product_document WHERE product_id = $1", new.id)
    older = orjson.loads(stored.replace(":%s", ':"%s"'))
    for name in ("vendor", "tax_category", "seo"):
        del older[name]
    for variant in older["variants"]:
        del variant["barcode"], variant["requires_shipping"]
    text = orjson.dumps(older).decode().replace('"%s"', "%s")
    await connection.execute("UPDATE product SET vendor = NULL WHERE id = $1", new.id)
    await connection.execute("UPDATE product_document SET document = $2 WHERE product_id = $1", new.id, text)
    reply = await product_documents.read_product(connection, new.id)
    assert reply is not None
    assert orjson.loads(reply) == {**new.model_dump(mode="json"), "vendor": 'Acme "B"'}

    changed = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(new.id), "tags": ["x"]})
    assert (changed.vendor, changed.attributes) == ('Acme "B"', new.attributes)
    job = await files.run_import(f"Handle,Title,Vendor,SKU,Price\n{new.slug},{new.name},Beta,{sku},19.99\n")
    assert (job.updated, job.errors) == (1, [])
    imported = await read(client, new)
    assert (imported.vendor, imported.attributes) == ("Beta", {"Of": "tin"})


async def _create_category(client: CatalogClient, name: str, **fields: Any) -> Category:
    body = {"name": name, "slug": f"c-{new_id().hex}", **fields}
    category: Category = await client.as_admin(catalog.CREATE_CATEGORY, body)
    return category


async def _place(client: CatalogClient, category: Category, parent: Category) -> None:
    body = {"id": str(category.id), "name": category.name, "parent_id": str(parent.id)}
    await client.as_admin(catalog.REPLACE_CATEGORY, body)


async def _paths_below(connection: Any, parent: Category) -> list[list[str]]:
    rows = await connection.fetch("SELECT breadcrumbs FROM category WHERE parent_id = $1", parent.id)
    return [[one["name"] for one in orjson.loads(f"[{row['breadcrumbs']}]")] for row in rows]


async def _path(client: CatalogClient, product: Product) -> list[str]:
    return [one.name for one in (await read(client, product)).breadcrumbs]
