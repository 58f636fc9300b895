"""What a product file says of barcodes, costs, shipping and taxes, without servers."""

import pytest

from tests.services.catalog.test_shopify import parse_warned


@pytest.mark.parametrize(
    ("column", "cell", "barcode"),
    [
        ("Barcode", "4006381333931", "4006381333931"),
        ("Variant Barcode", "'0012 A", "0012 A"),
        ("Barcode", "", None),
        ("Vendor", "4006381333931", None),
    ],
)
def test_reads_a_barcode(column: str, cell: str, barcode: str | None) -> None:
    product, warnings = parse_warned(f"x,X,1,{cell}\n", header=f"Handle,Title,Variant Price,{column}\n")
    assert (product.variants[0].variant.barcode, warnings) == (barcode, [])


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("Barcode", "9" * 65),
        ("Barcode", '"4\n0"'),
        ("Cost per item", "cheap"),
        ("Cost per item", "-1"),
        ("Requires shipping", "maybe"),
        ("Charge tax", "maybe"),
        ("Tax code", "P 1"),
    ],
    ids=["long", "two lines", "words", "below zero", "shipped perhaps", "taxed perhaps", "space"],
)
def test_a_cell_that_cannot_be_used_is_warned_of(column: str, cell: str) -> None:
    product, warnings = parse_warned(f"x,X,1,{cell}\n", header=f"Handle,Title,Variant Price,{column}\n")
    variant = product.variants[0].variant
    assert (variant.barcode, variant.cost, variant.requires_shipping) == (None, None, True)
    assert product.facts.tax.category_after("books") == "books"
    ((line, named, quoted),) = warnings
    assert (line, named, quoted) == (2, column, cell.strip('"'))


@pytest.mark.parametrize(
    ("column", "cell", "before", "after"),
    [
        ("Variant Tax Code", "P0000000", "books", "p0000000"),
        ("Variant Tax Code", "", "books", "standard"),
        ("Variant Taxable", "FALSE", "books", "exempt"),
        ("Variant Taxable", "TRUE", "exempt", "standard"),
        ("Variant Taxable", "TRUE", "books", "books"),
        ("Variant Taxable", "", "books", "books"),
        ("Vendor", "Acme", "books", "books"),
    ],
)
def test_a_file_states_how_a_product_is_taxed(column: str, cell: str, before: str, after: str) -> None:
    product, warnings = parse_warned(f"x,X,1,{cell}\n", header=f"Handle,Title,Variant Price,{column}\n")
    assert product.facts.tax.category_after(before) == after
    assert not warnings


def test_variants_that_are_taxed_differently_are_warned_of() -> None:
    header = "Handle,Title,Variant Price,Option1 Value,Variant Tax Code,Variant Taxable\n"
    product, warnings = parse_warned("x,X,1,S,P1,TRUE\nx,,1,M,,\nx,,1,L,p1,FALSE\n", header=header)
    assert product.facts.tax.category_after("books") == "p1"
    assert warnings == [(4, "Variant Taxable", "FALSE")]
