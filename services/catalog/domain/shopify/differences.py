"""What an import changes of a product, told by the cells that an export has of it before and after."""

from collections.abc import Iterator

from contracts.catalog import ProductFieldChange
from services.catalog.domain.shopify.columns import newer_name
from services.catalog.domain.shopify.row_writer import Cells, ExportedProduct, ShopFacts, exported_cells

MAX_FIELDS = 20
"""The most changes of one product that a dry run lists."""
MAX_SHOWN_LENGTH = 100


def find_changes(before: ExportedProduct, after: ExportedProduct, shop: ShopFacts) -> list[ProductFieldChange]:
    """The fields that differ, at most `MAX_FIELDS`: those of the product first, then those of each variant."""
    return list(_changed_fields(before, after, shop))[:MAX_FIELDS]


def _changed_fields(before: ExportedProduct, after: ExportedProduct, shop: ShopFacts) -> Iterator[ProductFieldChange]:
    old, old_variants = exported_cells(before, shop)
    new, new_variants = exported_cells(after, shop)
    yield from _compare("", old, new)
    for sku in dict.fromkeys([*new_variants, *old_variants]):
        yield from _compare(sku, old_variants.get(sku, {}), new_variants.get(sku, {}))


def _compare(sku: str, before: Cells, after: Cells) -> Iterator[ProductFieldChange]:
    for column in dict.fromkeys([*before, *after]):
        old, new = before.get(column, ""), after.get(column, "")
        if old != new:
            yield ProductFieldChange(sku=sku, field=newer_name(column), before=_shorten(old), after=_shorten(new))


def _shorten(value: str) -> str:
    return value if len(value) <= MAX_SHOWN_LENGTH else f"{value[: MAX_SHOWN_LENGTH - 1]}…"
