"""The columns of product files, in both dialects. The code calls a column by its older name."""

from collections.abc import Sequence

NEWER_NAMES = {
    "URL handle": "Handle",
    "Description": "Body (HTML)",
    "Published on online store": "Published",
    "SKU": "Variant SKU",
    "Barcode": "Variant Barcode",
    "Price": "Variant Price",
    "Compare-at price": "Variant Compare At Price",
    "Inventory tracker": "Variant Inventory Tracker",
    "Inventory quantity": "Variant Inventory Qty",
    "Continue selling when out of stock": "Variant Inventory Policy",
    "Weight value (grams)": "Variant Grams",
    "Product image URL": "Image Src",
    "Image position": "Image Position",
    "Image alt text": "Image Alt Text",
    "Variant image URL": "Variant Image",
}
"""The names of the newer dialect, with the older name of the same column."""
OLDER_NAMES = (
    *("Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Status"),
    *(f"Option{number} {part}" for number in (1, 2, 3) for part in ("Name", "Value")),
    *("Variant SKU", "Variant Barcode", "Variant Price", "Variant Compare At Price", "Variant Grams"),
    *("Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy"),
    *("Image Src", "Image Position", "Image Alt Text", "Variant Image"),
)
_BY_LOWERED = {name.lower(): name for name in OLDER_NAMES} | {
    newer.lower(): older for newer, older in NEWER_NAMES.items()
}


def known_columns(header: Sequence[str]) -> tuple[str, ...]:
    """The older name of each column of a header, in any case; an unknown column keeps its name."""
    names = [" ".join(name.split()) for name in header]
    return tuple(_BY_LOWERED.get(name.lower(), name) for name in names)
