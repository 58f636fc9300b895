"""Exports of products as a product file, and imports of that file."""

import csv
import io
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import catalog, headers
from contracts.catalog import ExportChanged, Product
from contracts.failure import InvalidCursor
from infra.foundation.ids import new_id
from services.catalog.domain.shopify.columns import NEWER_HEADER, OLDER_HEADER
from services.catalog.domain.shopify.export_pages import FilePosition
from services.catalog.domain.shopify.unknown_columns import MAX_COLUMNS
from services.catalog.handlers.exports import decode_position, encode_position
from tests.services.catalog.conftest import CatalogClient, ImportFiles, usd

PNG_URL = "https://images.example/lamp.png"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def mark() -> str:
    """Tells the products of a test from all others."""
    return new_id().hex


async def export(client: CatalogClient, first: Product, **options: Any) -> str:
    """The file from a product on, page after page, with its header."""
    pages = [(await client.edge.raw(catalog.EXPORT_PRODUCTS, options, identity=client.admin))[0].split(b"\r\n")[0]]
    pages[0] += b"\r\n"
    start: str | None = encode_position(FilePosition(first.id, kept_columns=MAX_COLUMNS))
    while start is not None:
        body = {**options, "page_start": start}
        page, page_headers = await client.edge.raw(catalog.EXPORT_PRODUCTS, body, identity=client.admin)
        pages.append(page)
        start = page_headers.get(headers.NEXT)
    return b"".join(pages).decode()


async def create_products(client: CatalogClient, mark: str) -> list[Product]:
    """Products that are hard to write: formulas, quotes, lines, blanks, drafts, four options and tied categories."""
    parent = await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Women {mark}"})
    twins = [
        await client.as_admin(catalog.CREATE_CATEGORY, {"name": f"Shoes {mark}", "parent_id": parent_id})
        for parent_id in (None, str(parent.id))
    ]
    plain = {"name": f"Plain {mark}", "sku": f"P-{mark}", "price": usd(1999), "stock": 3}
    bodies: list[dict[str, Any]] = [
        plain,
        {
            **plain,
            "name": f"=SUM({mark})",
            "sku": f"'{mark}",
            "description": '\n <p>"Quoted", with\r\nlines</p>\n',
            "tags": [f"+{mark}", "b c"],
            "attributes": {"Vendor": "kept", "Material": "brass"},
            "vendor": "@acme",
            "tax_category": "books",
            "seo": {"title": "-5 %", "description": "=B1"},
            "barcode": "'0012",
            "cost": usd(0),
            "requires_shipping": False,
            "category_id": str(twins[1].id),
            "compare_at_price": usd(2500),
            "weight_grams": 120,
        },
        {
            "name": f"湯呑み {mark}",
            "variants": [
                {
                    "sku": f"{size} #{number}/{mark}",
                    "price": usd(5),
                    "stock": number,
                    "options": {"Maß": f"'={size}", "Farbe": "rot", "Motiv": "-5", "Vierte": str(number)},
                }
                for number, size in enumerate("abc")
            ],
        },
        {**plain, "name": f"Draft {mark}", "sku": f"D-{mark}", "status": "draft"},
        {**plain, "name": f"Scheduled {mark}", "sku": f"S-{mark}", "publish_at": "2099-01-01T00:00:00Z"},
        {**plain, "name": f"Gone {mark}", "sku": f"G-{mark}"},
    ]
    created: list[Product] = [await client.as_admin(catalog.CREATE_PRODUCT, body) for body in bodies]
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(created[-1].id)})
    # Takes the slug and the SKU of the one before.
    created.append(await client.as_admin(catalog.CREATE_PRODUCT, {**bodies[-1], "price": usd(700), "stock": 0}))
    return created


async def read_all(client: CatalogClient, products: list[Product]) -> list[Product]:
    return [await client.as_admin(catalog.GET_PRODUCT, {"key": str(one.id)}) for one in products]


@pytest.mark.parametrize("dialect", ["current", "legacy"])
async def test_an_export_changes_nothing_when_it_is_imported(
    client: CatalogClient, files: ImportFiles, mark: str, dialect: str
) -> None:
    before = await read_all(client, await create_products(client, mark))
    text = await export(client, before[0], dialect=dialect)
    job = await files.run_import(text)
    assert (job.unchanged, job.created, job.updated, job.errors) == (len(before), 0, 0, [])
    assert await read_all(client, before) == before
    again = await files.run_import(text)
    assert (again.unchanged, again.created, again.updated) == (len(before), 0, 0)


async def test_an_export_makes_the_same_products_elsewhere(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    """Under other handles, SKUs and categories, as in a shop without these products."""
    (first, *_) = await create_products(client, mark)
    text, other = await export(client, first), new_id().hex
    job = await files.run_import(text.replace(mark, other))
    assert (job.created, job.updated, job.errors) == (7, 0, [])
    handles = [row["URL handle"] for row in rows_of(text)]
    (copy,) = (await client.as_admin(catalog.LIST_PRODUCTS, {"q": f"Plain {other}"})).items
    assert await export(client, copy) == text.replace(mark, other)
    assert len(set(handles)) == 7


async def test_a_quantity_in_a_file_sets_the_stock_only_when_it_is_another_one(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    body = {"name": f"Lamp {mark}", "sku": f"L-{mark}", "price": usd(100), "stock": 3}
    product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    text = await export(client, product)
    assert (await files.run_import(text)).unchanged == 1
    await client.as_admin(catalog.ADJUST_STOCK, {"sku": f"L-{mark}", "delta": -1, "reason": "broken"})
    assert (await files.run_import(text)).unchanged == 1
    assert await client.stock_level(f"L-{mark}") == (2, 0)
    (row,) = rows_of(text)
    changed = text.replace(f",shopify,{row['Inventory quantity']},", ",shopify,9,")
    assert (await files.run_import(changed)).updated == 1
    assert await client.stock_level(f"L-{mark}") == (9, 0)


async def test_rows_of_a_product(client: CatalogClient, files: ImportFiles, mark: str) -> None:
    header = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src,Image Alt Text\n"
    image = f"{PNG_URL}?{mark}"
    rows = f"lamp-{mark},Lamp {mark},Size,S,A-{mark},1.5,{image}1,One\nlamp-{mark},,,M,B-{mark},2,{image}2,\n"
    await files.run_import(f"{header}{rows}lamp-{mark},,,,,,{image}3,Three\n")
    product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"lamp-{mark}"})
    names = ["URL handle", "Title", "Status", "Option1 name", "Option1 value", "SKU", "Price", "Product image URL"]
    names += ["Image position", "Image alt text", "Charge tax"]
    assert [[row[name] for name in names] for row in rows_of(await export(client, product))] == [
        [f"lamp-{mark}", f"Lamp {mark}", "active", "Size", "S", f"A-{mark}", "1.50", f"{image}1", "1", "One", "TRUE"],
        [f"lamp-{mark}", "", "", "", "M", f"B-{mark}", "2.00", f"{image}2", "2", "", "TRUE"],
        [f"lamp-{mark}", "", "", "", "", "", "", f"{image}3", "3", "Three", ""],
    ]
    legacy = await export(client, product, dialect="legacy")
    assert legacy.startswith(",".join(OLDER_HEADER))
    assert [row["Variant Inventory Policy"] for row in rows_of(legacy)] == ["deny", "deny", ""]


async def test_a_changed_file_takes_nothing_that_it_cannot_state(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    products = await create_products(client, mark)
    text = (await export(client, products[0])).replace("''=a", "''=z")
    job = await files.run_import(text)
    assert (job.updated, job.unchanged) == (1, 6)
    (found,) = await read_all(client, [products[2]])
    expected = [dict(variant.options) for variant in products[2].variants]
    expected[0]["Maß"] = "'=z"
    assert [variant.options for variant in found.variants] == expected


async def test_formulas_are_escaped(client: CatalogClient, mark: str) -> None:
    products = await create_products(client, mark)
    rows = {row["SKU"]: row for row in rows_of(await export(client, products[0]))}
    formula, sizes = rows[f"''{mark}"], rows[f"a #0/{mark}"]
    assert (formula["Title"], formula["Vendor"], formula["Tags"]) == (f"'=SUM({mark})", "'@acme", f"'+{mark}, b c")
    assert (sizes["Option1 value"], sizes["Option3 value"]) == ("''=a", "-5")


async def test_the_first_page_has_the_header_and_an_unknown_position_is_refused(client: CatalogClient) -> None:
    content, reply_headers = await client.edge.raw(catalog.EXPORT_PRODUCTS, identity=client.admin)
    assert content.decode().startswith(",".join(NEWER_HEADER))
    assert reply_headers["Content-Type"] == "text/csv; charset=utf-8"
    with pytest.raises(InvalidCursor):
        await client.as_admin(catalog.EXPORT_PRODUCTS, {"page_start": "e30"})


async def test_rows_of_two_versions_of_a_product_do_not_come_together(
    client: CatalogClient, new_product: Callable[..., Awaitable[Product]]
) -> None:
    product = await new_product()
    start = FilePosition(product.id, rows_done=1, version=1)
    assert decode_position(encode_position(start)) == start
    await client.edge.raw(catalog.EXPORT_PRODUCTS, {"page_start": encode_position(start)}, identity=client.admin)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "name": "Brass lamp, changed"})
    with pytest.raises(ExportChanged):
        await client.edge.raw(catalog.EXPORT_PRODUCTS, {"page_start": encode_position(start)}, identity=client.admin)
