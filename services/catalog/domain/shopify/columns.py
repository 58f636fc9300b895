"""The columns of product files, in both dialects. The code calls a column by its older name."""

from collections.abc import Sequence

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
_BY_LOWERED = {name.lower(): name for name in OLDER_HEADER} | {
    newer.lower(): older for newer, older in NEWER_NAMES.items()
}


def known_columns(header: Sequence[str]) -> tuple[str, ...]:
    """The older name of each column of a header, in any case; an unknown column keeps its name."""
    names = [" ".join(name.split()) for name in header]
    return tuple(_BY_LOWERED.get(name.lower(), name) for name in names)
