"""Imports of product files: valid, partly invalid, repeated, and continued after a crash."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import NotCsv, Product, ProductImport, ProductImportStatus
from contracts.failure import InvalidRequest, NotFound
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from services.catalog.domain.slugs import slugify
from tests.services.catalog.conftest import HEADER, CatalogClient, ImportFiles, line, usd
from tests.support.eventually import eventually

REAL = Path(__file__).parents[3] / ".." / "shared" / "data" / "shopify"
REAL_FILES = {"jewelery.csv": (20, 23), "apparel.csv": (20, 22)}
"""Each file with its numbers of products and variants."""


def row(handle: str, *, title: str = "", price: str = "", size: str = "", quantity: str = "", **more_cells: str) -> str:
    cells = {
        "Handle": handle,
        "Title": title,
        "Option1 Name": "Size" if size else "",
        "Option1 Value": size,
        "Variant Price": price,
        "Variant Inventory Qty": quantity,
        **more_cells,
    }
    return ",".join(cells.get(column, "") for column in HEADER.strip().split(",")) + "\n"


def outcomes(job: ProductImport) -> tuple[int, int, int]:
    return job.created, job.updated, job.unchanged


async def find(client: CatalogClient, handle: str) -> Product:
    product: Product = await client.as_admin(catalog.GET_PRODUCT, {"key": handle})
    return product


@pytest.fixture
def handle() -> str:
    return f"lamp-{new_id().hex}"


async def test_imports_a_file_and_changes_nothing_the_second_time(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    kind = f"Kind {new_id().hex}"
    first = {
        "Body (HTML)": "<b>x</b><script>y</script>",
        "Vendor": "Acme",
        "Type": kind,
        "Tags": "one",
        "Variant Grams": "5",
    }
    text = HEADER + row(handle, title="Lamp", price="42.99", size="S", quantity="3", **first)
    text += row(handle, price="50", size="M", quantity="0", **{"Variant Compare At Price": "60"})
    queued = await files.start(text)
    assert (queued.status, queued.rows) == (ProductImportStatus.QUEUED, 0)
    job = await files.wait_until_done(queued)
    assert (job.status, job.rows, job.products, job.variants, outcomes(job)) == (
        ProductImportStatus.DONE,
        2,
        1,
        2,
        (1, 0, 0),
    )
    assert job.errors == []
    product = await find(client, handle)
    assert (product.name, product.description, product.tags) == ("Lamp", "<b>x</b>", ["one"])
    assert (product.vendor, product.attributes, product.category) == ("Acme", {}, slugify(kind))
    assert [
        (variant.sku, variant.options, variant.price.amount, variant.available) for variant in product.variants
    ] == [
        (f"{handle}.s", {"Size": "S"}, 4299, 3),
        (f"{handle}.m", {"Size": "M"}, 5000, 0),
    ]
    assert outcomes(await files.run_import(text)) == (0, 0, 1)
    assert await find(client, handle) == product
    changed = await files.run_import(text.replace("42.99", "41.99"))
    assert outcomes(changed) == (0, 1, 0)
    assert (await find(client, handle)).variants[0].price.amount == 4199


async def test_the_same_quantity_again_does_not_undo_sales(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    text = HEADER + row(handle, title="Lamp", price="1", quantity="5")
    await files.run_import(text)
    sku = (await find(client, handle)).variants[0].sku
    held = await client.hold(line(sku, 2))
    await client.publish_paid(held.hold_id, sku, 2)
    await client.wait_for_stock(sku, 3, 0)
    assert outcomes(await files.run_import(text)) == (0, 0, 1)
    assert await client.stock_level(sku) == (3, 0)
    more = text.replace(",5,1,", ",6,1,")
    assert outcomes(await files.run_import(more)) == (0, 1, 0)
    assert await client.stock_level(sku) == (6, 0)
    await client.hold(line(sku, 4))
    fewer = await files.run_import(text.replace(",5,1,", ",3,1,"))
    assert outcomes(fewer) == (0, 0, 1)
    assert (fewer.errors, [(warning.line, warning.handle) for warning in fewer.warnings]) == ([], [(2, handle)])
    assert await client.stock_level(sku) == (6, 4)


async def test_reports_an_invalid_row_and_imports_the_rest(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    other = f"other-{handle}"
    text = HEADER
    text += row(handle, title="Lamp", price="1", size="S", **{"Body (HTML)": '"two\nlines"'})
    text += row(handle, price="ten", size="M")
    text += row(handle, price="3", size="L")
    text += row(other, title="Other", price="nothing")
    text += row(f"last-{handle}", title="Last", price="5")
    job = await files.run_import(text)
    assert (job.rows, job.products, job.variants, outcomes(job)) == (5, 2, 3, (2, 0, 0))
    assert [(error.line, error.handle, error.field, error.value) for error in job.errors] == [
        (4, handle, "Variant Price", "ten"),
        (6, other, "Variant Price", "nothing"),
    ]
    assert [variant.options["Size"] for variant in (await find(client, handle)).variants] == ["S", "L"]
    with pytest.raises(NotFound):
        await find(client, other)


async def test_removes_a_variant_without_a_row_but_not_one_with_an_invalid_row(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    rows = [row(handle, title="Lamp", price="1", size="S"), row(handle, price="2", size="M")]
    await files.run_import(HEADER + "".join(rows))
    broken = await files.run_import(HEADER + rows[0] + row(handle, price="two", size="M"))
    assert (outcomes(broken), len(broken.errors)) == ((0, 0, 1), 1)
    assert len((await find(client, handle)).variants) == 2
    assert outcomes(await files.run_import(HEADER + rows[0])) == (0, 1, 0)
    assert len((await find(client, handle)).variants) == 1


async def test_a_sku_of_another_product_is_never_taken(
    client: CatalogClient, files: ImportFiles, handle: str, new_product: Callable[..., Awaitable[Product]]
) -> None:
    owner = await new_product(stock=10)
    taken = owner.variants[0].sku
    text = HEADER + row(handle, title="Lamp", price="1", size="S", quantity="3", **{"Variant SKU": taken})
    text += row(handle, price="2", size="M")
    job = await files.run_import(text)
    assert (outcomes(job), job.variants, job.errors) == ((1, 0, 0), 2, [])
    assert [(warning.line, warning.field, warning.value) for warning in job.warnings] == [(2, "Variant SKU", taken)]
    assert [variant.sku for variant in (await find(client, handle)).variants] == [f"{handle}.s", f"{handle}.m"]
    assert await find(client, owner.slug) == owner
    assert await client.stock_level(taken) == (10, 0)
    assert outcomes(await files.run_import(text)) == (0, 0, 1)


async def test_a_variant_on_hold_stays_and_the_rest_is_imported(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    rows = [row(handle, title="Lamp", price="1", size="S"), row(handle, price="2", size="M", quantity="1")]
    await files.run_import(HEADER + "".join(rows))
    await client.hold(line(f"{handle}.m", 1))
    job = await files.run_import(HEADER + rows[0].replace("Lamp", "Lantern"))
    assert (outcomes(job), job.errors) == ((0, 1, 0), [])
    assert "on hold" in job.warnings[0].detail
    product = await find(client, handle)
    assert (product.name, len(product.variants)) == ("Lantern", 2)
    assert await client.stock_level(f"{handle}.m") == (1, 1)


async def test_finds_a_product_by_handle_after_its_slug_changed(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    text = HEADER + row(handle, title="Lamp", price="1", Published="true")
    await files.run_import(text)
    product = await find(client, handle)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "slug": f"new-{handle}"})
    assert outcomes(await files.run_import(text)) == (0, 0, 1)
    assert outcomes(await files.run_import(text.replace("true", "false"))) == (0, 1, 0)
    assert not (await find(client, f"new-{handle}")).is_active


async def test_updates_a_product_that_an_administrator_created(
    client: CatalogClient, files: ImportFiles, handle: str
) -> None:
    body = {
        "name": "Lamp",
        "slug": handle,
        "sku": f"H-{handle}",
        "price": usd(1),
        "stock": 7,
        "attributes": {"Of": "tin"},
    }
    created = await client.as_admin(catalog.CREATE_PRODUCT, body)
    text = HEADER + row(handle, title="Lamp", price="2", **{"Variant SKU": f"H-{handle}", "Vendor": "Acme"})
    assert outcomes(await files.run_import(text)) == (0, 1, 0)
    after = await find(client, handle)
    assert after.id == created.id
    assert (after.attributes, after.vendor) == ({"Of": "tin"}, "Acme")
    assert (after.variants[0].price.amount, after.variants[0].available) == (200, 7)


async def test_refuses_what_is_not_a_product_file(client: CatalogClient, files: ImportFiles) -> None:
    for content in (b"", b"\x89PNG\r\n\x1a\n", b"a,b,c\n1,2,3\n", b"Handle,Title,Variant Name\nx,y,1\n"):
        with pytest.raises(NotCsv):
            await files.start(content)
    with pytest.raises(InvalidRequest):
        await client.as_admin(catalog.START_IMPORT, {"upload": new_id().hex})
    with pytest.raises(NotFound):
        await client.as_admin(catalog.GET_IMPORT, {"id": str(new_id())})
    empty = await files.run_import("Handle,Title,Variant Price\n")
    assert (empty.status, empty.rows, empty.errors) == (ProductImportStatus.DONE, 0, [])


async def test_reports_at_most_1000_errors_and_1000_warnings(files: ImportFiles, handle: str) -> None:
    broken = "".join(row(handle, price="x", **{"Variant Grams": "y"}) for _ in range(1200))
    job = await files.run_import(HEADER + row(handle, title="Lamp", price="1") + broken)
    assert (job.rows, outcomes(job), len(job.errors), job.warnings) == (1201, (1, 0, 0), 1000, [])
    cells = {"title": "Lamp", "quantity": "x", "Variant Grams": "y", "Variant Compare At Price": "z"}
    vague = [row(f"{handle}-{n // 100}", price=".5", size=f"{n}", **cells) for n in range(300)]
    job = await files.run_import(HEADER + "".join(vague))
    assert (outcomes(job), len(job.warnings), job.errors) == ((3, 0, 0), 1000, [])


async def test_an_import_continues_after_its_process_died(
    stack: Stack, client: CatalogClient, files: ImportFiles, handle: str, database: Callable[[str], Awaitable[Any]]
) -> None:
    text = HEADER + "".join(row(f"{handle}-{n}", title=f"Lamp {n}", price="1", quantity="1") for n in range(600))
    job = await files.start(text)

    async def is_under_way() -> bool:
        now: ProductImport = await client.as_admin(catalog.GET_IMPORT, {"id": str(job.id)})
        assert now.status is not ProductImportStatus.DONE, "the import finished before the process was killed"
        return now.rows > 20

    await eventually(is_under_way)
    stack.kill("catalog")
    await (await database("catalog")).execute(
        "UPDATE import_job SET alive_at = now() - interval '1 hour' WHERE id = $1", job.id
    )
    await stack.wait_until_ready("catalog")
    done = await files.wait_until_done(job)
    assert (done.status, done.rows, done.products, outcomes(done)) == (ProductImportStatus.DONE, 600, 600, (600, 0, 0))
    assert outcomes(await files.run_import(text)) == (0, 0, 600)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not available")
@pytest.mark.parametrize("name", REAL_FILES)
async def test_imports_real_shopify_files(client: CatalogClient, files: ImportFiles, name: str) -> None:
    content = (REAL / name).read_bytes()
    first = await files.run_import(content)
    assert (first.products, first.variants, first.errors) == (*REAL_FILES[name], [])
    again = await files.run_import(content)
    assert outcomes(again) == (0, 0, first.products)
    if name == "jewelery.csv":
        bracelet = await find(client, "chain-bracelet")
        assert (bracelet.name, bracelet.category, bracelet.tags) == ("7 Shakra Bracelet", "bracelet", ["Beads"])
        assert [
            (
                variant.sku,
                variant.options,
                variant.price.amount,
                variant.compare_at_price and variant.compare_at_price.amount,
                variant.available,
            )
            for variant in bracelet.variants
        ] == [
            ("chain-bracelet.blue", {"Color": "Blue"}, 4299, 4499, 1),
            ("chain-bracelet.black", {"Color": "Black"}, 4299, 4499, 0),
        ]
