"""The columns of product files, in both dialects. The code calls a column by its older name."""

import re
from collections.abc import Sequence

from contracts.formula_cells import unescape_formula

NEWER_NAMES = {
    "URL handle": "Handle",
    "Description": "Body (HTML)",
    "Product category": "Product Category",
    "Published on online store": "Published",
    "SKU": "Variant SKU",
    "Barcode": "Variant Barcode",
    "Price": "Variant Price",
    "Compare-at price": "Variant Compare At Price",
    "Charge tax": "Variant Taxable",
    "Tax code": "Variant Tax Code",
    "Inventory tracker": "Variant Inventory Tracker",
    "Inventory quantity": "Variant Inventory Qty",
    "Continue selling when out of stock": "Variant Inventory Policy",
    "Weight value (grams)": "Variant Grams",
    "Weight unit for display": "Variant Weight Unit",
    "Requires shipping": "Variant Requires Shipping",
    "Fulfillment service": "Variant Fulfillment Service",
    "Product image URL": "Image Src",
    "Image position": "Image Position",
    "Image alt text": "Image Alt Text",
    "Variant image URL": "Variant Image",
    "Gift card": "Gift Card",
    "SEO title": "SEO Title",
    "SEO description": "SEO Description",
}
"""The names of the newer dialect, with the older name of the same column."""
NEWER_HEADER = (
    *("Title", "URL handle", "Description", "Vendor", "Product category", "Type", "Tags", "Published on online store"),
    *("Status", "SKU", "Barcode"),
    *(f"Option{number} {part}" for number in (1, 2, 3) for part in ("name", "value", "Linked To")),
    *("Price", "Compare-at price", "Cost per item", "Charge tax", "Tax code"),
    *("Unit price total measure", "Unit price total measure unit"),
    *("Unit price base measure", "Unit price base measure unit"),
    *("Inventory tracker", "Inventory quantity", "Continue selling when out of stock"),
    *("Weight value (grams)", "Weight unit for display", "Requires shipping", "Fulfillment service"),
    *("Product image URL", "Image position", "Image alt text", "Variant image URL"),
    *("Gift card", "SEO title", "SEO description"),
    *(f"Google Shopping / {name}" for name in ("Google product category", "Gender", "Age group")),
    *(f"Google Shopping / {name}" for name in ("Manufacturer part number (MPN)", "Ad group name", "Ads labels")),
    *(f"Google Shopping / {name}" for name in ("Condition", "Custom product")),
    *(f"Google Shopping / Custom label {number}" for number in range(5)),
)
"""The header of a file in the newer dialect, as Shopify writes it."""
OLDER_HEADER = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags", "Published"),
    *(f"Option{number} {part}" for number in (1, 2, 3) for part in ("Name", "Value", "Linked To")),
    *("Variant SKU", "Variant Grams", "Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy"),
    *("Variant Fulfillment Service", "Variant Price", "Variant Compare At Price", "Variant Requires Shipping"),
    *("Variant Taxable", "Variant Barcode", "Image Src", "Image Position", "Image Alt Text", "Gift Card"),
    *("SEO Title", "SEO Description", "Variant Image", "Variant Weight Unit", "Variant Tax Code", "Cost per item"),
    "Status",
)
"""The header of a file in the older dialect."""
READ_COLUMNS = frozenset(
    {
        *("Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Status"),
        *(f"Option{number} {part}" for number in (1, 2, 3) for part in ("Name", "Value")),
        *("Variant Inventory Tracker", "Variant Inventory Policy"),
        *("Variant SKU", "Variant Grams", "Variant Inventory Qty", "Variant Price", "Variant Compare At Price"),
        *("Variant Barcode", "Cost per item", "Variant Requires Shipping", "Variant Taxable", "Variant Tax Code"),
        *("Image Src", "Image Position", "Image Alt Text", "SEO Title", "SEO Description"),
    }
)
"""The columns that become fields of a product. The cells of all others are kept as they are."""
_VARIANT_COLUMNS = re.compile(r"Variant |Unit price |Cost per item$|Price / |Compare-at price / ", re.IGNORECASE)
_BY_LOWERED = {name.lower(): name for name in OLDER_HEADER} | {
    newer.lower(): older for newer, older in NEWER_NAMES.items()
}

_NEWER_BY_OLDER = {older: newer for newer, older in NEWER_NAMES.items()}


def newer_name(column: str) -> str:
    """The name of a column in the newer dialect, by its older one."""
    return _NEWER_BY_OLDER.get(column, column)


def known_columns(header: Sequence[str]) -> tuple[str, ...]:
    """The older name of each column of a header, in any case; an unknown column keeps its name."""
    names = [unescape_formula(" ".join(name.split())) for name in header]
    return tuple(_BY_LOWERED.get(name.lower(), name) for name in names)


def is_of_variant(column: str) -> bool:
    """Whether a column states something of a variant in every row, also in the first row of a product."""
    return bool(_VARIANT_COLUMNS.match(column))
