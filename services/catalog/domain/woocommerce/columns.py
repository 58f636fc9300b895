"""The columns of WooCommerce's product export. Its English names are read, in any case."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from services.catalog.domain.shopify.columns import READ_COLUMNS, known_columns
from services.catalog.domain.shopify.csv_detection import CsvFormat

_NAMES = (
    *("ID", "Type", "SKU", "GTIN, UPC, EAN, or ISBN", "Name", "Published", "Visibility in catalog"),
    *("Short description", "Description", "Date sale price starts", "Date sale price ends", "Tax status"),
    *("In stock?", "Stock", "Backorders allowed?", "Sale price", "Regular price"),
    *("Categories", "Tags", "Images", "Parent", "Brands"),
)
_BY_LOWERED = {name.lower(): name for name in _NAMES} | {"visibility in catalogue": "Visibility in catalog"}
_REQUIRED = frozenset({"Type", "Name", "Regular price"})
"""Without these a header is not WooCommerce's; it also has the ID or the SKU."""
_WEIGHT = re.compile(r"weight \((kg|g|lbs|oz)\)", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"attribute (\d+) (name|value\(s\))", re.IGNORECASE)
_ATTRIBUTE_PREFIX = re.compile(r"attribute \d+ ", re.IGNORECASE)
"""All that is said of an attribute; whether it is shown and shared is left out."""
_ONLY_KEPT = frozenset({"Visibility in catalog", "Short description", "Date sale price starts", "Date sale price ends"})
"""Columns that are read, but whose cells are kept too, because the shop has no field for them."""
WEIGHT = "Weight"
"""The weight, whose column names its unit."""
SHOPIFY_NAMES = {
    "Title": "Name",
    "Body (HTML)": "Description",
    "Vendor": "Brands",
    "Type": "Categories",
    "Tags": "Tags",
    "Published": "Published",
    "Status": "Published",
    "Variant SKU": "SKU",
    "Variant Barcode": "GTIN, UPC, EAN, or ISBN",
    "Variant Price": "Regular price",
    "Variant Compare At Price": "Sale price",
    "Variant Grams": WEIGHT,
    "Variant Inventory Tracker": "Stock",
    "Variant Inventory Qty": "Stock",
    "Variant Inventory Policy": "Backorders allowed?",
    "Variant Requires Shipping": "Type",
    "Variant Taxable": "Tax status",
    "Image Src": "Images",
}
"""Shopify's columns, by whose older names the code calls them, and the one that each is made from."""


def is_woocommerce(header: Sequence[str]) -> bool:
    """Whether a file with this header is WooCommerce's export."""
    names = {_known_name(name) for name in header}
    return names >= _REQUIRED and not names.isdisjoint({"ID", "SKU"})


def attribute_column(number: int, part: str) -> str:
    """The name of a column of the attribute with that number; the part is `name` or `value(s)`."""
    return f"Attribute {number} {part}"


@dataclass(frozen=True)
class WooCommerceFormat(CsvFormat):
    """How a file of WooCommerce is written. Its rows are read as rows with Shopify's columns."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The column of each cell: by WooCommerce's name, or as Shopify's where WooCommerce has none of that name."""
        return tuple(map(_known_name, self.header))

    @cached_property
    def names(self) -> dict[str, str]:
        """The names in the file, by those of WooCommerce, and by Shopify's that its rows are read as."""
        own = dict(zip(self.columns, self.header, strict=True))
        made = {shopify: own[name] for shopify, name in SHOPIFY_NAMES.items() if name in own}
        options = {f"Option{n} {part}": "Attributes" for n in (1, 2, 3) for part in ("Name", "Value")}
        return {**own, **options, **made}

    @cached_property
    def attributes(self) -> tuple[int, ...]:
        """The numbers of the attributes that the file has columns for."""
        found = {int(match[1]) for name in self.columns if (match := _ATTRIBUTE.fullmatch(name))}
        return tuple(sorted(found))

    @cached_property
    def weight_unit(self) -> str:
        """The unit of the weights: kg, g, lbs or oz."""
        name = self.names.get(WEIGHT, "")
        match = _WEIGHT.fullmatch(" ".join(name.split()))
        return match[1].lower() if match else "kg"

    @cached_property
    def unread_columns(self) -> tuple[str, ...]:
        """The columns whose cells are kept: the shop has no field for them."""
        read = {*SHOPIFY_NAMES.values(), *_NAMES} - _ONLY_KEPT
        made = [name for name in SHOPIFY_NAMES if name not in READ_COLUMNS and name in self.names]
        own = [name for name in self.columns if name not in read and not _ATTRIBUTE_PREFIX.match(name)]
        return (*own, *made)


def _known_name(name: str) -> str:
    spaced = " ".join(name.split())
    if _WEIGHT.fullmatch(spaced):
        return WEIGHT
    if match := _ATTRIBUTE.fullmatch(spaced):
        return attribute_column(int(match[1]), match[2].lower())
    return _BY_LOWERED.get(spaced.lower()) or known_columns([spaced])[0]
