"""The columns of a product file that the shop has no field for come back in an export."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from contracts import catalog
from contracts.catalog import Product, ProductFileDialect
from infra.foundation.ids import new_id
from services.catalog.domain.product_file_formats import ProductCsv
from services.catalog.domain.product_records import ProductRecord, VariantRecord
from services.catalog.domain.shopify.columns import NEWER_HEADER
from services.catalog.domain.shopify.export_pages import FilePosition, write_page
from services.catalog.domain.shopify.row_writer import ExportedProduct, ShopFacts
from services.catalog.domain.shopify.unknown_columns import MAX_COLUMNS, MAX_ROW_CHARACTERS, KeptCells, choose_columns
from services.catalog.handlers.exports import encode_position
from tests.services.catalog.conftest import CatalogClient, ImportFiles

HEADER = (
    "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Image,Care (metafield),Gift Card,"
    "Image Src\n"
)


@pytest.fixture
def mark() -> str:
    """Tells the products of a test from all others."""
    return new_id().hex


def outcomes(job: catalog.ProductImport) -> tuple[int, int, int]:
    return job.created, job.updated, job.unchanged


async def find(client: CatalogClient, mark: str) -> Product:
    product: Product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"top-{mark}"})
    return product


async def export(client: CatalogClient, first: Product, dialect: str = "current") -> str:
    """The file from a product on, with its header; the test's product is the last one."""
    body = {"dialect": dialect}
    page, _ = await client.edge.raw(catalog.EXPORT_PRODUCTS, body, identity=client.admin)
    header = page.split(b"\r\n")[0] + b"\r\n"
    start = encode_position(FilePosition(first.id, kept_columns=MAX_COLUMNS))
    rows, _ = await client.edge.raw(catalog.EXPORT_PRODUCTS, {**body, "page_start": start}, identity=client.admin)
    return (header + rows).decode()


def rows_of(text: str) -> list[Mapping[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_an_export_has_the_columns_that_the_shop_does_not_know(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    text = HEADER + f"top-{mark},Top,Size,S,S-{mark},1,https://x.example/s,=wash,TRUE,https://x.example/1\n"
    text += f"top-{mark},,,M,M-{mark},2,https://x.example/m,,,\ntop-{mark},,,,,,,,,https://x.example/2\n"
    assert outcomes(await files.run_import(text, dry_run=True)) == (1, 0, 0)
    assert outcomes(await files.run_import(text)) == (1, 0, 0)
    product = await find(client, mark)
    for dialect, image in (("current", "Variant image URL"), ("legacy", "Variant Image")):
        gift = "Gift card" if dialect == "current" else "Gift Card"
        exported = await export(client, product, dialect)
        assert [(row[image], row["Care (metafield)"], row[gift]) for row in rows_of(exported)] == [
            ("https://x.example/s", "'=wash", "TRUE"),
            ("https://x.example/m", "", ""),
        ]
        assert outcomes(await files.run_import(exported)) == (0, 0, 1)
    assert await find(client, mark) == product


async def test_a_kept_cell_changes_and_is_cleared_without_a_change_of_the_product(
    client: CatalogClient, files: ImportFiles, mark: str
) -> None:
    text = f"Handle,Title,Variant SKU,Variant Price,Care (metafield)\ntop-{mark},Top,S-{mark},1,wash\n"
    await files.run_import(text)
    product = await find(client, mark)
    assert outcomes(await files.run_import(text.replace("wash", "iron"))) == (0, 1, 0)
    await files.run_import(f"Handle,Title,Variant SKU,Variant Price\ntop-{mark},Top,S-{mark},1\n")
    (row,) = rows_of(await export(client, product))
    assert row["Care (metafield)"] == "iron"
    assert outcomes(await files.run_import(text.replace("wash", ""))) == (0, 1, 0)
    (row,) = rows_of(await export(client, product))
    assert row["Care (metafield)"] == ""
    assert await find(client, mark) == product


CELLS = KeptCells({"Care": "wash"}, {"A": {"Lot": "1"}, "B": {"Lot": "2"}})


@pytest.mark.parametrize(
    ("stated", "columns", "skus", "expected"),
    [
        (KeptCells({}, {"A": {}, "B": {}}), [], ["A", "B"], CELLS),
        (KeptCells({}, {"A": {}, "B": {}}), ["Care"], ["A", "B"], KeptCells({}, CELLS.variants)),
        (
            KeptCells({}, {"A": {"Lot": "3"}}),
            ["Lot"],
            ["A", "B"],
            KeptCells(CELLS.product, {"A": {"Lot": "3"}, "B": {"Lot": "2"}}),
        ),
        (
            KeptCells({"Care": "iron"}, {"B": {"Lot": "2"}}),
            ["Care", "Lot"],
            ["B"],
            KeptCells({"Care": "iron"}, {"B": {"Lot": "2"}}),
        ),
    ],
    ids=["missing columns", "an empty cell", "a variant that the file lacks", "a removed variant"],
)
def test_what_a_file_does_not_say_stays(
    stated: KeptCells, columns: list[str], skus: list[str], expected: KeptCells
) -> None:
    assert CELLS.merge(stated, columns, skus) == expected
    assert KeptCells.from_json(expected.to_json()) == expected


def test_columns_are_limited() -> None:
    known = [f"old {number}" for number in range(MAX_COLUMNS - 1)]
    assert choose_columns(known, ["new", "other", "old 3", "", "n" * 300]) == ["new", "old 3"]
    assert choose_columns([*known, "new"], ["other", "new"]) == ["new"]


def test_a_row_keeps_no_more_than_an_export_can_write() -> None:
    text = f"Handle,Title,Variant Price,One,Two\nx,X,1,{'a' * MAX_ROW_CHARACTERS},b\n"
    file = ProductCsv.scan(text.encode())
    file = file.keeping(file.format.unread_columns)
    ((product, notices),) = [file.parse(group, "USD") for group in file.groups()]
    assert product is not None
    assert list(product.other_cells) == ["One"]
    assert [(warning.field, warning.value) for warning in notices.warnings] == [("Two", "b")]


def test_every_page_has_the_columns_of_the_header() -> None:
    """Also when a file brings another column between two pages."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    product = ProductRecord(
        id=new_id(),
        slug="top",
        name="Top",
        description="",
        category_id=None,
        tags=(),
        attributes={},
        variants=(VariantRecord("A", {}, 100, None, None),),
        is_active=True,
        created_at=now,
        updated_at=now,
    )
    exported = ExportedProduct(product, "top", kept_cells=KeptCells({"Care": "wash", "New": "x"}))
    shop = ShopFacts("USD", "", now)
    first = write_page([], None, product.id, ProductFileDialect.CURRENT, shop, ["Care"])
    assert first.next == FilePosition(product.id, kept_columns=1)
    second = write_page([exported], first.next, None, ProductFileDialect.CURRENT, shop, ["Care", "New"])
    (row,) = rows_of((first.content + second.content).decode())
    assert (row["Care"], len(row)) == ("wash", len(NEWER_HEADER) + 1)
