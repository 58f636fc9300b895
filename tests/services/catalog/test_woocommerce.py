"""WooCommerce's product CSV is read as the same products, with the same warnings as Shopify's."""

import pytest

from contracts import catalog
from contracts.catalog import ProductImport, ProductStatus
from infra.foundation.ids import new_id
from services.catalog.domain.product_file_formats import ProductCsv, detect_format
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct
from services.catalog.domain.woocommerce.columns import WooCommerceFormat
from tests.services.catalog.conftest import CatalogClient, ImportFiles

HEADER = (
    'ID,Type,SKU,"GTIN, UPC, EAN, or ISBN",Name,Published,Is featured?,Visibility in catalog,Short description,'
    "Description,Date sale price starts,Date sale price ends,Tax status,Tax class,In stock?,Stock,Backorders allowed?,"
    "Weight (kg),Sale price,Regular price,Categories,Tags,Images,Parent,Position,Attribute 1 name,"
    "Attribute 1 value(s),Attribute 1 visible,Attribute 1 global,Attribute 2 name,Attribute 2 value(s)\n"
)
COLUMNS = detect_format(HEADER.encode()).header


def row(**cells: str) -> str:
    """A row with these cells by column."""
    assert cells.keys() <= set(COLUMNS)
    return ",".join('"' + cells.get(column, "").replace('"', '""') + '"' for column in COLUMNS) + "\n"


def parse(text: str) -> list[tuple[FileProduct | None, Notices]]:
    file = ProductCsv.scan((HEADER + text).encode())
    file = file.keeping(file.format.unread_columns)
    return [file.parse(group, "USD") for group in file.groups()]


def simple(**cells: str) -> str:
    named = {"ID": "7", "Type": "simple", "SKU": "CAP", "Name": "Cap", "Published": "1", "In stock?": "1"}
    return row(**{**named, "Regular price": "16", **cells})


def parse_one(**cells: str) -> tuple[FileProduct, list[str]]:
    """The product of one row, and the columns that were warned of."""
    ((product, notices),) = parse(simple(**cells))
    assert product is not None
    assert not notices.errors
    return product, [warning.field for warning in notices.warnings]


def test_the_header_tells_the_files_apart() -> None:
    for written in (
        HEADER,
        HEADER.upper(),
        HEADER.replace(",", ";").replace("GTIN; UPC; EAN; or", "GTIN, UPC, EAN, or"),
    ):
        assert isinstance(detect_format(written.encode()), WooCommerceFormat)
    assert not isinstance(detect_format(b"Handle,Title,Type,Variant SKU,Variant Price\n"), WooCommerceFormat)


def test_reads_a_simple_product() -> None:
    product, warnings = parse_one(
        **{"GTIN, UPC, EAN, or ISBN": "4006381333931", "Sale price": "12.50", "Weight (kg)": ".25", "Stock": "7"},
        **{"Short description": "Short", "Description": r"<p>Warm</p>\nYes", "Tags": "a, b", "Tax status": "none"},
        Categories="Clothing, Clothing > Hats",
        Images="https://x/1.jpg, https://x/2.jpg",
        **{"Attribute 1 name": "Material", "Attribute 1 value(s)": "Cotton", "Is featured?": "1"},
    )
    (item,) = product.variants
    assert warnings == []
    assert (product.handle, product.name, product.slug_text) == ("woocommerce-7", "Cap", "Cap")
    assert (product.description, product.tags, product.status) == ("<p>Warm</p>\nYes", ("a", "b"), ProductStatus.ACTIVE)
    assert (product.category_parents, product.product_type) == (("Clothing",), "Hats")
    assert product.attributes == {"Material": "Cotton"}
    assert [source["src"] for source in product.sources or ()] == ["https://x/1.jpg", "https://x/2.jpg"]
    assert (item.variant.sku, item.variant.barcode, item.variant.weight_grams) == ("CAP", "4006381333931", 250)
    assert (item.variant.price.amount, item.variant.compare_at_price and item.variant.compare_at_price.amount) == (
        1250,
        1600,
    )
    assert (item.quantity, item.is_tracked, item.backorder) == (7, True, False)
    assert product.other_cells["Short description"] == "Short"
    assert product.other_cells["Is featured?"] == "1"


def variation(value: str, parent: str, **cells: str) -> str:
    named = {"Type": "variation", "Name": f"Hoodie - {value}", "Published": "1", "In stock?": "1", "Parent": parent}
    named |= {"Regular price": "45", "Attribute 1 name": "Color", "Attribute 1 value(s)": value}
    return row(**{**named, **cells})


def hoodie(**cells: str) -> str:
    named = {"ID": "44", "Type": "variable", "SKU": "HOODIE", "Name": "Hoodie", "Published": "1"}
    named |= {"Attribute 1 name": "Color", "Attribute 1 value(s)": "Blue, Red", "Attribute 2 name": "Material"}
    return row(**{**named, "Attribute 2 value(s)": "Wool", **cells})


def test_variations_find_their_product_by_id_and_by_sku() -> None:
    text = variation("Blue", "HOODIE", SKU="H-B", Images="https://x/b.jpg") + simple() + hoodie()
    found = parse(text + variation("Red", "id:44", Type="variation, virtual"))
    cap, (product, notices) = found
    assert cap[0] is not None
    assert product is not None
    assert (notices.warnings, notices.errors) == ([], [])
    assert [(item.variant.sku, item.variant.options, item.variant.requires_shipping) for item in product.variants] == [
        ("H-B", {"Color": "Blue"}, True),
        ("woocommerce-44.red", {"Color": "Red"}, False),
    ]
    assert product.attributes == {"Material": "Wool"}
    assert [source["src"] for source in product.sources or ()] == ["https://x/b.jpg"]


STOCK = {
    "not counted": ({"Stock": "", "In stock?": "1"}, (None, False, False)),
    "sold out": ({"Stock": "", "In stock?": "0"}, (0, True, False)),
    "on backorder": ({"Stock": "", "In stock?": "backorder"}, (0, True, True)),
    "counted": ({"Stock": "4", "Backorders allowed?": "0"}, (4, True, False)),
    "with notice": ({"Stock": "0", "Backorders allowed?": "notify"}, (0, True, True)),
}


@pytest.mark.parametrize(("cells", "expected"), STOCK.values(), ids=STOCK)
def test_reads_the_stock(cells: dict[str, str], expected: tuple[int | None, bool, bool]) -> None:
    product, warnings = parse_one(**cells)
    (item,) = product.variants
    assert ((item.quantity, item.is_tracked, item.backorder), warnings) == (expected, [])


@pytest.mark.parametrize(
    ("cells", "status"),
    [
        ({"Published": "1"}, ProductStatus.ACTIVE),
        ({"Published": "0"}, ProductStatus.INACTIVE),
        ({"Published": "-1"}, ProductStatus.DRAFT),
        ({"Visibility in catalog": "hidden"}, ProductStatus.INACTIVE),
    ],
    ids=["published", "private", "draft", "hidden"],
)
def test_reads_the_status(cells: dict[str, str], status: ProductStatus) -> None:
    product, warnings = parse_one(**cells)
    assert (product.status, warnings) == (status, [])


SIDE_FIELDS = {
    "a sale with dates": ({"Sale price": "9", "Date sale price ends": "2026-12-24"}, ["Sale price"]),
    "a second category": ({"Categories": "Hats, Sale"}, ["Categories"]),
    "a weight in words": ({"Weight (kg)": "heavy"}, ["Weight (kg)"]),
    "stock in words": ({"Stock": "many"}, ["Stock"]),
    "an image that is no address": ({"Images": "cap.jpg"}, ["Images"]),
    "a SKU that no path can name": ({"SKU": ".."}, ["SKU"]),
}


@pytest.mark.parametrize(("cells", "warned"), SIDE_FIELDS.values(), ids=SIDE_FIELDS)
def test_a_side_field_does_not_cost_the_product(cells: dict[str, str], warned: list[str]) -> None:
    product, warnings = parse_one(**cells)
    assert (product.variants[0].variant.price.amount, warnings) == (1600, warned)


def test_variations_have_the_weight_of_their_product_and_attributes_that_they_leave_open_are_told() -> None:
    size = {"Attribute 2 name": "Size", "Attribute 2 value(s)": ""}
    text = hoodie(**{"Weight (kg)": "1.5", "Attribute 2 name": "Size", "Attribute 2 value(s)": "S, M"})
    ((product, notices),) = parse(
        text + variation("Blue", "id:44", **size, **{"Weight (kg)": "2"}) + variation("Red", "id:44", **size)
    )
    assert product is not None
    assert [item.variant.weight_grams for item in product.variants] == [2000, 1500]
    assert product.attributes == {"Size": "S, M"}
    assert [(warning.line, warning.field, warning.value) for warning in notices.warnings] == [(2, "Attributes", "Size")]


def test_variations_that_share_stock_or_are_not_published_are_told() -> None:
    ((product, notices),) = parse(
        hoodie(Stock="9")
        + variation("Blue", "id:44", Stock="parent")
        + variation("Red", "id:44", Published="0", Stock="5")
    )
    assert product is not None
    assert [item.quantity for item in product.variants] == [None, 0]
    assert [(warning.line, warning.field) for warning in notices.warnings] == [(3, "Stock"), (4, "Published")]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (variation("Blue", "id:9"), "Parent"),
        (simple(Type="grouped"), "Name"),
        (simple(Type="external"), "Name"),
        (simple(**{"Regular price": ""}), "Regular price"),
        (hoodie(), "Regular price"),
    ],
    ids=["a variation alone", "grouped", "external", "no price", "no variation"],
)
def test_what_cannot_be_sold_is_an_error(text: str, field: str) -> None:
    ((product, notices),) = parse(text)
    assert product is None or not product.variants
    assert [error.field for error in notices.errors] == [field]


def test_more_than_three_options_are_all_kept() -> None:
    header = HEADER.strip() + "".join(f",Attribute {n} name,Attribute {n} value(s)" for n in (3, 4)) + "\n"
    rows = hoodie().strip() + ',"","","",""\n'
    for size in ("S", "M"):
        rows += variation("Blue", "id:44", **{"Attribute 2 name": "Fit", "Attribute 2 value(s)": "wide"}).strip()
        rows += f',"Length","long","Size","{size}"\n'
    file = ProductCsv.scan((header + rows).encode())
    ((product, notices),) = [file.parse(group, "USD") for group in file.groups()]
    assert product is not None
    assert not notices.warnings
    assert [item.variant.options for item in product.variants] == [
        {"Color": "Blue", "Fit": "wide", "Length / Size": f"long / {size}"} for size in ("S", "M")
    ]


def outcomes(job: ProductImport) -> tuple[int, int, int]:
    return job.created, job.updated, job.unchanged


async def test_imports_a_file_and_changes_nothing_the_second_time(client: CatalogClient, files: ImportFiles) -> None:
    mark = new_id().hex
    text = HEADER + simple(ID=mark, SKU=f"C-{mark}", Name=f"Cap {mark}", Categories=f"Hats {mark} > Caps {mark}")
    text += simple(ID=f"{mark}2", SKU=f"D-{mark}", Categories=f"Caps {mark} > Caps {mark}", Stock="5")
    first = await files.run_import(text)
    assert (outcomes(first), first.warnings, first.errors) == ((2, 0, 0), [], [])
    product = await client.as_admin(catalog.GET_PRODUCT, {"key": f"cap-{mark}"})
    assert [crumb.name for crumb in product.breadcrumbs] == [f"Hats {mark}", f"Caps {mark}"]
    assert await client.stock_level(f"D-{mark}") == (5, 0)
    assert outcomes(await files.run_import(text)) == (0, 0, 2)
    renamed = text.replace(f"Cap {mark}", f"Beret {mark}")
    assert outcomes(await files.run_import(renamed)) == (0, 1, 1)
