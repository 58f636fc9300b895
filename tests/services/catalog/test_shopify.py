"""Shopify's product CSV is parsed into products, without servers."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import NotCsv, ProductStatus
from services.catalog.domain.product_file_formats import ProductCsv, detect_format
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.product_reader import FileProduct

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src,Image Alt Text\n"
)


def parse(content: str | bytes) -> list[tuple[FileProduct | None, Notices]]:
    encoded = content.encode() if isinstance(content, str) else content
    file = ProductCsv.scan(encoded)
    return [file.parse(group, "USD") for group in file.groups()]


def parse_warned(text: str, header: str = HEADER) -> tuple[FileProduct, list[tuple[int, str, str]]]:
    """The only product of the rows, and the line, field and value of each warning."""
    ((product, notices),) = parse(header + text)
    assert not notices.errors
    assert product is not None
    assert all(warning.handle == product.handle and warning.detail for warning in notices.warnings)
    return product, [(warning.line, warning.field, warning.value) for warning in notices.warnings]


def parse_one(text: str) -> FileProduct:
    product, warnings = parse_warned(text)
    assert not warnings
    return product


def test_parses_a_product_without_options() -> None:
    product = parse_one(
        'lamp,Lamp,<p>Brass</p>,Acme,Lamps,"a, b,a",true,Title,Default Title,,,\'007,120,4,42.99,50,http://x/1,A lamp\n'
    )
    variant = product.variants[0].variant
    assert (variant.sku, variant.options, variant.weight_grams) == ("007", {}, 120)
    assert variant.price.amount == 4299
    assert variant.compare_at_price is not None
    assert variant.compare_at_price.amount == 5000
    assert (product.tags, product.facts.vendor, product.product_type) == (("a", "b"), "Acme", "Lamps")
    assert product.quantities == {"007": 4}
    assert product.sources == ({"src": "http://x/1", "alt": "A lamp"},)
    assert product.status is ProductStatus.ACTIVE


def test_variants_take_option_names_from_the_first_row() -> None:
    product = parse_one(
        "top,Top,,,,,,Size,S,Colour,Red,,,,10,,,\ntop,,,,,,,,M,,Red,,,,11,,,\ntop,,,,,,,,,,,,,,,,http://x/2,\n"
    )
    assert [item.variant.options for item in product.variants] == [
        {"Size": "S", "Colour": "Red"},
        {"Size": "M", "Colour": "Red"},
    ]
    assert [item.variant.sku for item in product.variants] == ["top.s.red", "top.m.red"]
    assert product.quantities == {}
    assert product.sources == ({"src": "http://x/2", "alt": ""},)


@pytest.mark.parametrize(
    ("published", "status"),
    [
        *((word, ProductStatus.ACTIVE) for word in ("true", "TRUE", "yes", "Y", "1", "on", "")),
        *((word, ProductStatus.INACTIVE) for word in ("false", "FALSE", "no", "N", "0", "off")),
    ],
)
def test_an_unpublished_product_is_not_on_sale(published: str, status: ProductStatus) -> None:
    assert parse_one(f"x,X,,,,,{published},,,,,,,,1,,,\n").status is status


def test_what_does_not_clearly_say_that_it_is_published_is_not_on_sale() -> None:
    product, warnings = parse_warned("x,X,,,,,later,,,,,,,,1,,,\n")
    assert (product.status, warnings) == (ProductStatus.INACTIVE, [(2, "Published", "later")])
    for status, expected in (("Active", "active"), ("draft", "draft"), ("archived", "inactive")):
        ((found, _),) = parse(f"Handle,Title,Price,Status\nx,X,1,{status}\n")
        assert found is not None
        assert found.status == expected
    ((found, _),) = parse("Handle,Title,Price\nx,X,1\n")
    assert found is not None
    assert found.status is None


SIDE_FIELDS = {
    "decimal grams": ("Variant Grams", "113.398092", "weight_grams", 113),
    "half a gram": ("Variant Grams", "0.5", "weight_grams", 1),
    "thousands of grams": ("Variant Grams", '"2,500"', "weight_grams", 2500),
    "grams with their unit": ("Variant Grams", "1.5 kg", "weight_grams", 1500),
    "grams in words": ("Variant Grams", "heavy", "weight_grams", None),
    "negative grams": ("Variant Grams", "-4", "weight_grams", None),
    "price below one": ("Variant Price", ".45", "price", 45),
    "price with thousands": ("Variant Price", '"1,234.50"', "price", 123450),
    "price with a sign": ("Variant Price", "$7.25", "price", 725),
    "price with too many decimals": ("Variant Price", "7.255", "price", 726),
    "former price in words": ("Variant Compare At Price", "soon", "compare_at_price", None),
    "stock in words": ("Variant Inventory Qty", "many", "quantity", None),
    "half a unit": ("Variant Inventory Qty", "2.5", "quantity", 2),
    "oversold": ("Variant Inventory Qty", "-3", "quantity", 0),
    "SKU with a line break": ("Variant SKU", '"A\nB"', "sku", "x"),
    "SKU of 256 characters": ("Variant SKU", "s" * 256, "sku", "x"),
    "SKU that no path can name": ("Variant SKU", "..", "sku", "x"),
    "image that is no address": ("Image Src", "lamp.jpg", "sources", ()),
    "long vendor": ("Vendor", "v" * 300, "vendor", "v" * 254 + "…"),
}


def value_of(product: FileProduct, field: str) -> object:
    (item,) = product.variants
    compare_at = item.variant.compare_at_price
    values = {
        "weight_grams": item.variant.weight_grams,
        "price": item.variant.price.amount,
        "compare_at_price": compare_at and compare_at.amount,
        "quantity": item.quantity,
        "sku": item.variant.sku,
        "sources": product.sources,
        "vendor": product.facts.vendor,
    }
    return values[field]


@pytest.mark.parametrize(("column", "cell", "field", "value"), SIDE_FIELDS.values(), ids=SIDE_FIELDS)
def test_a_side_field_does_not_cost_the_product(column: str, cell: str, field: str, value: object) -> None:
    columns = HEADER.strip().split(",")
    cells = {"Handle": "x", "Title": "X", "Variant Price": "1", column: cell}
    product, warnings = parse_warned(",".join(cells.get(name, "") for name in columns) + "\n")
    assert value_of(product, field) == value
    ((line, named, quoted),) = warnings
    assert (line, named) == (2, column)
    assert quoted.rstrip("…") == cell.strip('"')[: len(quoted.rstrip("…"))]
    assert quoted


@pytest.mark.parametrize("sku", ["AB 12", "#7", "(x)", "a+b", "100%", "Größe", "製品", "a/b", "a.$b", "-", "L" * 255])
def test_a_printable_sku_stays_as_it_is(sku: str) -> None:
    assert parse_one(f"x,X,,,,,,,,,,{sku},,,1,,,\n").variants[0].variant.sku == sku


def test_a_sku_that_two_variants_share_belongs_to_the_first() -> None:
    product, warnings = parse_warned("x,X,,,,,,Size,S,,,ONE,,,1,,,\nx,,,,,,,,M,,,ONE,,,2,,,\nx,,,,,,,,L,,,x.m,,,2,,,\n")
    first, second, third = (item.variant.sku for item in product.variants)
    assert (first, third) == ("ONE", "x.m")
    assert second.startswith("x.m-")
    assert warnings == [(3, "Variant SKU", "ONE")]


def test_long_and_broken_texts_are_cut_and_made_one_line() -> None:
    long_tag, many = "t" * 70, ",".join(f"n{number}" for number in range(60))
    product, warnings = parse_warned(f'x,"Lamp\nof   brass",,,"Two\nlines","{long_tag},{many}",,,,,,,,,1,,,\n')
    assert (product.name, product.product_type) == ("Lamp of   brass", "Two lines")
    assert product.tags is not None
    assert (product.tags[0], product.tags[-1], len(product.tags)) == ("t" * 63 + "…", "n48", 50)
    assert [field for _, field, _ in warnings] == ["Title", "Tags", "Tags"]
    product, warnings = parse_warned(f"x,{'N' * 300},,,{'K' * 300},,,,,,,,,,1,,,\n")
    other, _ = parse_warned(f"x,X,,,{'K' * 301},,,,,,,,,,1,,,\n")
    assert (len(product.name), len(product.product_type)) == (200, 100)
    assert product.product_type != other.product_type
    assert [field for _, field, _ in warnings] == ["Title", "Type"]


def test_variants_are_told_apart_by_their_options() -> None:
    product, warnings = parse_warned(
        "x,X,,,,,,Size,S,Colour,Red,,,,1,,,\nx,,,,,,,,S,,Red,,,,2,,,\nx,,,,,,,,M,,,,,,3,,,\nx,,,,,,,,S,,Red,,,,4,,,\n"
    )
    assert [item.variant.options for item in product.variants] == [
        {"Size": "S", "Colour": "Red"},
        {"Size": "S", "Colour": "Red (2)"},
        {"Size": "M", "Colour": "-"},
        {"Size": "S", "Colour": "Red (3)"},
    ]
    assert len({item.variant.sku for item in product.variants}) == 4
    assert [line for line, _, _ in warnings] == [3, 4, 5]


def test_variants_without_any_options_are_numbered() -> None:
    product, warnings = parse_warned("x,X,,,,,,Title,Default Title,,,A,,,1,,,\nx,,,,,,,,Default Title,,,B,,,2,,,\n")
    assert [item.variant.options for item in product.variants] == [{"Variant": "1"}, {"Variant": "2"}]
    assert [line for line, _, _ in warnings] == [3]


def test_two_options_of_one_name_are_both_kept() -> None:
    product, warnings = parse_warned("x,X,,,,,,Size,S,Size,Wide,,,,1,,,\n")
    assert product.variants[0].variant.options == {"Size": "S", "Size 2": "Wide"}
    assert [field for _, field, _ in warnings] == ["Option2 Name"]


def test_reads_the_newer_dialect_in_any_case() -> None:
    text = (
        "TITLE,url handle,Description,Vendor,Type,Tags,Published on online store,Status,SKU,Option1 name,Option1 value,"
        "Price,Compare-at price,Inventory quantity,Weight value (grams),Product image URL,Glaze (metafield)\n"
        "Cup,cup,<p>Clay</p>,Acme,Cups,clay,FALSE,Active,CUP-S,Size,Small,14.00,18,3,120.4,https://x/1,ash\n"
        ",cup,,,,,,,CUP-L,,Large,22,,0,650,,\n"
        ",cup,,,,,,,,,,,,,,https://x/2,\n"
    )
    ((product, notices),) = parse(text)
    assert product is not None
    assert (product.handle, product.name, product.description, product.status) == (
        "cup",
        "Cup",
        "<p>Clay</p>",
        ProductStatus.INACTIVE,
    )
    assert [(item.variant.sku, item.variant.options, item.quantity) for item in product.variants] == [
        ("CUP-S", {"Size": "Small"}, 3),
        ("CUP-L", {"Size": "Large"}, 0),
    ]
    assert [source["src"] for source in product.sources or ()] == ["https://x/1", "https://x/2"]
    assert [(warning.line, warning.field) for warning in notices.warnings] == [(2, "Weight value (grams)")]


def test_a_missing_column_is_told_from_an_empty_cell() -> None:
    ((without, _),) = parse("Handle,Title,Price\nx,X,1\n")
    ((empty, _),) = parse("Handle,Title,Price,Body (HTML),Tags,Image Src\nx,X,1,,,\n")
    assert without is not None
    assert empty is not None
    assert (without.description, without.tags, without.sources) == (None, None, None)
    assert (empty.description, empty.tags, empty.sources) == ("", (), ())


def test_a_product_without_a_handle_gets_one_from_its_title() -> None:
    text = "Title,Price,Option1 Name,Option1 Value\nCup,1,Size,S\n,2,,M\nCup,3,,\nPlate,4,,\n"
    found = parse(text)
    assert [product and (product.name, len(product.variants)) for product, _ in found] == [
        ("Cup", 2),
        ("Cup", 1),
        ("Plate", 1),
    ]
    handles = [product.handle for product, _ in found if product]
    assert len(set(handles)) == 3
    assert [product.handle for product, _ in parse(text) if product] == handles
    assert all(handle.startswith(("cup-", "plate-")) for handle in handles)


def test_handles_that_are_too_long_stay_different() -> None:
    one, other = f"{'h' * 300}a", f"{'h' * 300}b"
    found = parse(HEADER + f"{one},A,,,,,,,,,,,,,1,,,\n{other},B,,,,,,,,,,,,,1,,,\n{one},,,,,,,Size,M,,,,,,2,,,\n")
    handles = [product.handle for product, _ in found if product]
    assert len(set(handles)) == 2
    assert all(len(handle) <= 255 for handle in handles)
    assert sorted(len(product.variants) for product, _ in found if product) == [1, 2]


WRITTEN = {
    "a mark": ("utf-8-sig", ","),
    "UTF-16 with a mark": ("utf-16", "\t"),
    "UTF-16 without a mark": ("utf-16-le", ";"),
    "UTF-16 big-endian": ("utf-16-be", ","),
    "Windows-1252": ("cp1252", ";"),
    "UTF-8": ("utf-8", "\t"),
}


@pytest.mark.parametrize(("encoding", "delimiter"), WRITTEN.values(), ids=WRITTEN)
def test_reads_files_as_programs_write_them(encoding: str, delimiter: str) -> None:
    rows = [["Handle", "Title", "Variant Price"], ["x", "Größe „M“; rot, neu", "7,50"]]
    target = io.StringIO()
    csv.writer(target, delimiter=delimiter).writerows(rows)
    ((product, notices),) = parse(target.getvalue().encode(encoding))
    assert product is not None
    assert (product.name, product.variants[0].variant.price.amount) == ("Größe „M“; rot, neu", 750)
    assert [warning.value for warning in notices.warnings] == ["7,50"]


def test_one_bad_byte_does_not_change_the_other_letters() -> None:
    content = "Handle,Title,Price\nx,Größe,1\ny,".encode() + b"\xff,2\n"
    names = [product.name for product, _ in parse(content) if product]
    assert names == ["Größe", "\ufffd"]
    assert detect_format(content).remark


def test_an_apostrophe_before_a_formula_is_taken_off_once() -> None:
    text = "Handle,Title,Price,Vendor\nx,'=Sum,1,''+1\ny,'n Drum,1,it's\n"
    found = [product for product, _ in parse(text) if product]
    assert [(product.name, product.facts.vendor) for product in found] == [("=Sum", "'+1"), ("'n Drum", "it's")]


BROKEN = {
    "bad price": ("x,,,,,,,,M,,,,,,ten,,,\n", "Variant Price is not a price"),
    "no price": ("x,,,,,,,,M,,,,,,,,,\n", "Variant Price is missing"),
    "negative price": ("x,,,,,,,,M,,,,,,-1,,,\n", "Variant Price is less than 0"),
    "too many cells": ("x,,,,,,,,M,,,,,,1,,,,surplus\n", "more cells"),
}


@pytest.mark.parametrize(("row", "detail"), BROKEN.values(), ids=BROKEN)
def test_an_invalid_row_is_reported_with_its_line(row: str, detail: str) -> None:
    text = HEADER + 'x,X,"two\nlines",,,,,Size,S,,,,,,1,,,\n' + row + "x,,,,,,,,L,,,,,,3,,,\n"
    ((product, notices),) = parse(text)
    assert product is not None
    assert [item.variant.options["Size"] for item in product.variants] == ["S", "L"]
    assert not product.is_complete
    assert [(error.line, error.handle) for error in notices.errors] == [(4, "x")]
    assert detail in notices.errors[0].detail


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        (",,,,,,,,,,,,,,1,,,\n", 2, "Handle and Title are missing"),
        ("x,,,,,,,,,,,,,,1,,,\nx,,,,,,,,,,,,,,2,,,\n", 2, "Title is missing; 1 more"),
    ],
)
def test_an_unreadable_product_is_reported_and_skipped(text: str, line: int, detail: str) -> None:
    ((product, notices),) = parse(HEADER + text)
    assert product is None
    assert [error.line for error in notices.errors] == [line]
    assert detail in notices.errors[0].detail


def test_rows_that_do_not_stand_together_make_one_product() -> None:
    text = HEADER + "x,X,,,,,,Size,S,,,,,,1,,,\ny,Y,,,,,,,,,,,,,1,,,\nx,,,,,,,,M,,,,,,2,,,\n"
    found = parse(text)
    assert [product and (product.handle, len(product.variants)) for product, _ in found] == [("y", 1), ("x", 2)]
    assert [warning.line for _, notices in found for warning in notices.warnings] == [2]


def test_a_file_needs_the_required_columns() -> None:
    detect_format(b"\xef\xbb\xbfHandle,Title,Variant Price\n")
    for content in (b"", b"\x89PNG\r\n\x1a\n\0\0", b"Handle,Title\n", b'{"a": 1}', b"\xff\xfe\x00"):
        with pytest.raises(NotCsv):
            detect_format(content)


CELL = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@given(st.lists(st.lists(CELL, min_size=18, max_size=18), max_size=6))
def test_no_cell_content_breaks_the_parser(cells: list[list[str]]) -> None:
    """With any cells, every product has variants or errors, and every error has a line of the file."""
    target = io.StringIO()
    csv.writer(target).writerows(cells)
    text = HEADER + target.getvalue()
    lines = len(text.splitlines()) + text.count("\r") + 2
    for product, notices in parse(text):
        assert notices.errors or (product is not None and product.variants)
        assert all(1 < notice.line <= lines for notice in (*notices.errors, *notices.warnings))
