"""An import knows a product under a new handle by its SKUs, and brings in SKUs that products have swapped."""

from collections.abc import Awaitable, Callable

import pytest

from contracts import catalog
from contracts.catalog import Product, ProductImport
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, ImportFiles, line, usd

HEADER = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price\n"
FindProduct = Callable[[str], Awaitable[Product]]


def outcomes(job: ProductImport) -> tuple[int, int, int]:
    return job.created, job.updated, job.unchanged


def simple(handle: str, sku: str, quantity: int | str) -> str:
    return f"{handle},{handle.title()},,,{sku},{quantity},1\n"


@pytest.fixture
def mark() -> str:
    """Tells the products of a test from all others."""
    return new_id().hex


@pytest.fixture
async def find(client: CatalogClient, mark: str) -> FindProduct:
    async def find(key: str) -> Product:
        product: Product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"{key}-{mark}"})
        return product

    return find


async def test_a_product_with_a_new_handle_is_known_by_its_skus(
    client: CatalogClient, files: ImportFiles, mark: str, find: FindProduct
) -> None:
    rows = [f"cup-{mark},Cup,Size,{size},{size}-{mark},{n},1\n" for n, size in enumerate("SML")]
    await files.run_import(HEADER + "".join(rows))
    before = await find("cup")
    text = HEADER + "".join(rows).replace("cup-", "mug-") + f"mug-{mark},,,XL,XL-{mark},1,1\n"
    for tried in (True, False):
        job = await files.run_import(text, dry_run=tried)
        assert (outcomes(job), job.errors) == ((0, 1, 0), [])
        assert [(warning.field, warning.value) for warning in job.warnings] == [("Handle", f"mug-{mark}")]
    after = await client.as_admin(catalog.GET_PRODUCT, {"key": str(before.id)})
    assert (after.slug, len(after.variants)) == (before.slug, 4)
    again = await files.run_import(text)
    assert (outcomes(again), again.warnings) == ((0, 0, 1), [])


async def test_a_product_of_the_file_is_not_renamed_and_a_few_skus_rename_none(
    client: CatalogClient, files: ImportFiles, mark: str, find: FindProduct
) -> None:
    await files.run_import(HEADER + simple(f"cup-{mark}", f"A-{mark}", 1))
    before = await find("cup")
    shared = HEADER + simple(f"cup-{mark}", f"A-{mark}", 1) + simple(f"mug-{mark}", f"A-{mark}", 2)
    assert outcomes(await files.run_import(shared)) == (1, 0, 1)
    halves = f"jug-{mark},Jug,Size,S,A-{mark},1,1\njug-{mark},,,M,B-{mark},1,1\n"
    assert outcomes(await files.run_import(HEADER + halves)) == (1, 0, 0)
    assert await find("cup") == before
    assert (await find("mug")).variants[0].sku != f"A-{mark}"


async def test_swapped_skus_come_in_with_their_units(
    client: CatalogClient, files: ImportFiles, mark: str, find: FindProduct
) -> None:
    handles = [f"{name}-{mark}" for name in ("cup", "jug", "mug")]
    skus = [f"{initial}-{mark}" for initial in "ABC"]
    await files.run_import(HEADER + "".join(map(simple, handles, skus, (1, 2, 3))))
    turned = HEADER + "".join(map(simple, handles, [*skus[1:], skus[0]], (5, 6, 7)))
    for tried in (True, False):
        job = await files.run_import(turned, dry_run=tried)
        assert (outcomes(job), job.warnings, job.errors) == ((0, 3, 0), [], [])
    found = [(await find(name)).variants for name in ("cup", "jug", "mug")]
    assert [(one.sku, one.available) for (one,) in found] == [(skus[1], 5), (skus[2], 6), (skus[0], 7)]
    assert outcomes(await files.run_import(turned)) == (0, 0, 3)
    uncounted = HEADER + "".join(map(simple, handles, skus, ("", "", "")))
    job = await files.run_import(uncounted)
    assert (outcomes(job), job.errors) == ((0, 3, 0), [])
    assert {warning.field for warning in job.warnings} == {"Variant SKU"}


async def test_a_sku_on_hold_is_not_given_to_another_product(
    client: CatalogClient, files: ImportFiles, mark: str, find: FindProduct
) -> None:
    text = HEADER + simple(f"cup-{mark}", f"A-{mark}", 1) + simple(f"jug-{mark}", f"B-{mark}", 2)
    await files.run_import(text)
    await client.hold(line(f"B-{mark}", 1))
    swapped = HEADER + simple(f"cup-{mark}", f"B-{mark}", 5) + simple(f"jug-{mark}", f"B2-{mark}", 6)
    job = await files.run_import(swapped)
    assert job.errors == []
    assert f"B-{mark}" in [warning.value for warning in job.warnings]
    assert f"B-{mark}" in [one.sku for one in (await find("jug")).variants]
    assert await client.stock_level(f"B-{mark}") == (2, 1)


async def test_a_dry_run_tells_what_would_change(
    client: CatalogClient, files: ImportFiles, mark: str, find: FindProduct
) -> None:
    body = {"name": "Cup", "slug": f"cup-{mark}", "sku": f"A-{mark}", "price": usd(100), "stock": 3}
    await client.as_admin(catalog.CREATE_PRODUCT, body)
    text = "Handle,Title,Vendor,Variant SKU,Variant Inventory Qty,Variant Price,Care\n"
    text += f"cup-{mark},Mug,Acme,A-{mark},8,2.50,wash\njug-{mark},Jug,,J-{mark},1,1,\n"
    job = await files.run_import(text, dry_run=True)
    assert outcomes(job) == (1, 1, 0)
    cup, jug = job.changes
    assert (cup.line, cup.handle, cup.is_new) == (2, f"cup-{mark}", False)
    assert [(one.sku, one.field, one.before, one.after) for one in cup.fields] == [
        ("", "Title", "Cup", "Mug"),
        ("", "Vendor", "", "Acme"),
        ("", "Care", "", "wash"),
        (f"A-{mark}", "Price", "1.00", "2.50"),
        (f"A-{mark}", "Inventory quantity", "3", "8"),
    ]
    assert (jug.line, jug.handle, jug.is_new, jug.fields) == (3, f"jug-{mark}", True, [])
    assert (await files.run_import(text)).changes == []
