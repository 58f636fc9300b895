"""Shopify's product CSV is parsed into products, without servers."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.catalog import NotCsv, ProductImportError
from services.catalog.domain.shopify.products import FileProduct, parse_product
from services.catalog.domain.shopify.rows import check_csv, group_rows, read_rows

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Image Src,Image Alt Text\n"
)


def parse(text: str) -> list[tuple[FileProduct | None, list[ProductImportError]]]:
    return [parse_product(group, "USD") for group in group_rows(read_rows(text.encode()))]


def parse_one(text: str) -> FileProduct:
    ((product, faults),) = parse(HEADER + text)
    assert not faults
    assert product is not None
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
    assert (product.tags, product.attributes, product.product_type) == (("a", "b"), {"Vendor": "Acme"}, "Lamps")
    assert product.quantities == {"007": 4}
    assert product.sources == ({"src": "http://x/1", "alt": "A lamp"},)
    assert product.is_active


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


@pytest.mark.parametrize(("published", "active"), [("true", True), ("", True), ("false", False), ("FALSE", False)])
def test_an_unpublished_product_is_not_on_sale(published: str, active: bool) -> None:  # noqa: FBT001 - a table
    assert parse_one(f"x,X,,,,,{published},,,,,,,,1,,,\n").is_active is active


def test_a_negative_quantity_counts_as_zero() -> None:
    assert parse_one("x,X,,,,,,,,,,A,,-3,1,,,\n").quantities == {"A": 0}


BROKEN = {
    "bad price": ("x,,,,,,,,M,,,,,,ten,,,\n", "Variant Price is not a price"),
    "no price": ("x,,,,,,,,M,,,,,,,,,\n", "Variant Price is missing"),
    "bad quantity": ("x,,,,,,,,M,,,,,many,1,,,\n", "Variant Inventory Qty is not a whole number"),
    "bad sku": ("x,,,,,,,,M,,,a b,,,1,,,\n", "Variant SKU"),
    "same sku": ("x,,,,,,,,S,,,,,,1,,,\n", "has the SKU"),
    "too many cells": ("x,,,,,,,,M,,,,,,1,,,,surplus\n", "more cells"),
}


@pytest.mark.parametrize(("row", "detail"), BROKEN.values(), ids=BROKEN)
def test_an_invalid_row_is_reported_with_its_line(row: str, detail: str) -> None:
    text = HEADER + 'x,X,"two\nlines",,,,,Size,S,,,,,,1,,,\n' + row + "x,,,,,,,,L,,,,,,3,,,\n"
    ((product, faults),) = parse(text)
    assert product is not None
    assert [item.variant.options["Size"] for item in product.variants] == ["S", "L"]
    assert not product.is_complete
    assert [fault.line for fault in faults] == [4]
    assert detail in faults[0].detail


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        (",X,,,,,,,,,,,,,1,,,\n", 2, "Handle is missing"),
        ("x,,,,,,,,,,,,,,1,,,\nx,,,,,,,,,,,,,,2,,,\n", 2, "Title is missing; 1 more"),
        (f"x,{'X' * 300},,,,,,,,,,,,,1,,,\n", 2, "Title"),
        (f"x,X,{'b' * 20001},,,,,,,,,,,,1,,,\n", 2, "Body (HTML)"),
    ],
)
def test_an_unreadable_product_is_reported_and_skipped(text: str, line: int, detail: str) -> None:
    ((product, faults),) = parse(HEADER + text)
    assert product is None
    assert [fault.line for fault in faults] == [line]
    assert detail in faults[0].detail


def test_rows_of_one_product_must_stand_together() -> None:
    text = HEADER + "x,X,,,,,,,,,,,,,1,,,\ny,Y,,,,,,,,,,,,,1,,,\nx,X,,,,,,,,,,,,,2,,,\n"
    found = parse(text)
    assert [product is not None for product, _ in found] == [True, True, False]
    assert found[2][1][0].line == 4


def test_a_file_needs_utf8_text_and_the_required_columns() -> None:
    check_csv(b"\xef\xbb\xbfHandle,Title,Variant Price\n")
    for content in (b"", b"\x89PNG\r\n\x1a\n\0\0", b"Handle,Title\n", b'{"a": 1}', b"Handle,Title,Variant Price\n\xff"):
        with pytest.raises(NotCsv):
            check_csv(content)


CELL = st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@given(st.lists(st.lists(CELL, min_size=18, max_size=18), max_size=6))
def test_no_cell_content_breaks_the_parser(cells: list[list[str]]) -> None:
    """With any cells, every product has variants or errors, and every error has a line of the file."""
    target = io.StringIO()
    csv.writer(target).writerows(cells)
    text = HEADER + target.getvalue()
    lines = len(text.splitlines()) + text.count("\r") + 2
    for product, faults in parse(text):
        assert faults or (product is not None and product.variants)
        assert all(1 < fault.line <= lines for fault in faults)
