"""Reads the rows of a WooCommerce product as rows with Shopify's columns, and these as a product."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from services.catalog.domain.shopify.cells import cut_line, make_line
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.options import MAX_NAME_LENGTH, MAX_VALUE_LENGTH, OPTION_NUMBERS
from services.catalog.domain.shopify.product_reader import MAX_CATEGORY_NAME_LENGTH, FileProduct, read_product
from services.catalog.domain.shopify.row_reader import CsvRow, ProductRows
from services.catalog.domain.woocommerce.columns import WooCommerceFormat, attribute_column
from services.catalog.domain.woocommerce.row_handles import is_variation, product_types
from services.catalog.domain.woocommerce.variant_cells import variant_cells

MAX_ATTRIBUTES = 50
_COMMA = re.compile(r"(?<!\\),")
"""A comma that separates terms; one of a term has a backslash before it."""
_UNSOLD_TYPES = frozenset({"grouped", "external"})


def parse_product(group: ProductRows, currency: str) -> tuple[FileProduct | None, Notices]:
    """The product, and the warnings and errors about its rows; None when the rows do not make a product."""
    notices = Notices(group.handle)
    parent = next((row for row in group.rows if not is_variation(row)), None)
    if parent is None:
        notices.refuse(group.rows[0], "Parent", "The product of this variation is not in the file")
        return None, notices
    if unsold := _UNSOLD_TYPES & product_types(parent):
        notices.refuse(parent, "Name", f"A product of the type {', '.join(unsold)} is not sold by this shop itself")
        return None, notices
    variations = [row for row in group.rows if is_variation(row)]
    _warn_of_open_attributes(parent, variations, notices)
    path = _choose_category(parent, notices)
    rows = tuple(_to_shopify(parent, variations, path[-1] if path else "", notices))
    product = read_product(ProductRows(group.handle, rows, group.rows_done), currency, notices)
    if product is None:
        return None, notices
    attributes = _own_attributes(parent, variations)
    return replace(product, attributes=attributes, category_parents=path[:-1], slug_text=product.name), notices


def _to_shopify(parent: CsvRow, variations: Sequence[CsvRow], category: str, notices: Notices) -> Iterator[CsvRow]:
    """The rows as Shopify would write them: variants with their options, then the images."""
    options = _option_names(variations)
    is_variable = bool(variations) or "variable" in product_types(parent)
    own = {**_product_cells(parent), "Type": category}
    yield _make_row(parent, own if is_variable else {**own, **variant_cells(parent, parent, notices)})
    for row in variations:
        stated = {"Handle": parent["Handle"], **variant_cells(row, parent, notices)}
        yield _make_row(row, {**stated, **_option_cells(row, options)})
    for row in (parent, *variations):
        for url in filter(None, (part.strip() for part in row["Images"].split(","))):
            yield replace(row, cells={"Handle": parent["Handle"], "Image Src": url})


def _make_row(row: CsvRow, cells: Mapping[str, str]) -> CsvRow:
    other_cells = {column: row[column] for column in row.format.kept_columns if column in row.cells}
    return replace(row, cells={**other_cells, **cells})


def _product_cells(row: CsvRow) -> dict[str, str]:
    """What concerns the whole product. One that is hidden in the shop's lists is not on sale here."""
    published = row["Published"]
    is_hidden = row["Visibility in catalog"].lower() == "hidden"
    return {
        "Handle": row["Handle"],
        "Title": row["Title"],
        "Body (HTML)": (row["Description"] or row["Short description"]).replace("\\n", "\n"),
        "Vendor": row["Brands"],
        "Tags": re.sub(r"\\,", " ", row["Tags"]),
        "Published": "" if published == "-1" else published,
        "Variant Taxable": "FALSE" if row["Tax status"].lower() == "none" else "TRUE",
        "Status": "draft" if published == "-1" else "unlisted" if is_hidden else "active",
    }


def _choose_category(row: CsvRow, notices: Notices) -> tuple[str, ...]:
    """The path of the category: the longest one. The categories above it are its own too; others are left out."""
    texts = [part.replace("\\,", ",") for part in _COMMA.split(row["Categories"])]
    paths = [tuple(filter(None, map(_category_name, text.split(">")))) for text in texts]
    chosen = max(paths, key=len)
    left = [" > ".join(path) for path in paths if path and path != chosen[: len(path)]]
    if left:
        detail = f"A product has one category, here {' > '.join(chosen)}; these were left out."
        notices.warn(row, "Categories", detail, ", ".join(left))
    return chosen


def _category_name(text: str) -> str:
    return cut_line(make_line(text), MAX_CATEGORY_NAME_LENGTH)


def _attributes(row: CsvRow) -> Iterator[tuple[str, str]]:
    """The attributes that the row names, with their values."""
    assert isinstance(row.format, WooCommerceFormat), "the rows are those of a WooCommerce file"
    for number in row.format.attributes:
        if name := make_line(row[attribute_column(number, "name")]):
            yield cut_line(name, MAX_NAME_LENGTH), row[attribute_column(number, "value(s)")].replace("\\,", ",")


def _option_names(variations: Sequence[CsvRow]) -> list[str]:
    """The attributes that tell the variations apart."""
    return list(dict.fromkeys(name for row in variations for name, value in _attributes(row) if value))


def _warn_of_open_attributes(parent: CsvRow, variations: Sequence[CsvRow], notices: Notices) -> None:
    """Tells of attributes that shoppers chose freely: every variation stands for all of their values."""
    named = dict.fromkeys(name for row in variations for name, _ in _attributes(row))
    if left_open := [name for name in named if name not in _option_names(variations)]:
        detail = "Every variation stands for all values of this attribute. Add a variant for each that can be chosen."
        notices.add_warning(parent.line, "Attributes", ", ".join(left_open), detail)


def _option_cells(row: CsvRow, names: Sequence[str]) -> dict[str, str]:
    """The options of a variation. Those beyond the third are part of the third."""
    values = dict(_attributes(row))
    last = OPTION_NUMBERS[-1]
    groups = [*([name] for name in names[: last - 1]), *([list(names[last - 1 :])] if len(names) >= last else [])]
    cells = {}
    for number, group in enumerate(groups, 1):
        stated = [values.get(name, "") for name in group]
        cells[f"Option{number} Name"] = " / ".join(group)
        cells[f"Option{number} Value"] = " / ".join(value or "-" for value in stated) if any(stated) else ""
    return cells


def _own_attributes(parent: CsvRow, variations: Sequence[CsvRow]) -> dict[str, str]:
    """The attributes of the product that are no options of its variations."""
    options = set(_option_names(variations))
    found = {
        name: cut_line(make_line(value), MAX_VALUE_LENGTH)
        for name, value in _attributes(parent)
        if name not in options and make_line(value)
    }
    return dict(list(found.items())[:MAX_ATTRIBUTES])
