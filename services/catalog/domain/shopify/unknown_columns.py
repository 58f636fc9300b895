"""The cells of columns that the shop has no field for. They are kept, so that an export writes them again."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.catalog.domain.shopify.columns import is_of_variant
from services.catalog.domain.shopify.notices import Notices
from services.catalog.domain.shopify.row_reader import CsvRow

MAX_COLUMNS = 500
"""Columns of all files together that are kept."""
MAX_COLUMN_NAME_LENGTH = 255
MAX_ROW_CHARACTERS = 50_000
"""The kept cells of one row."""
_OF_EACH_PRODUCT = {"Gift Card": "FALSE"}
_OF_EACH_VARIANT = {"Variant Fulfillment Service": "manual", "Variant Weight Unit": "g"}
"""The cells that an export writes for products and variants without kept cells of these columns."""


@dataclass(frozen=True, slots=True)
class KeptCells:
    """The kept cells of a product by column, and those of its variants by SKU and column."""

    product: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @staticmethod
    def from_json(value: Mapping[str, Any] | None) -> "KeptCells":
        """The cells as `to_json` made them; none for None."""
        return KeptCells(value["product"], value["variants"]) if value else NO_CELLS

    def to_json(self) -> dict[str, Any]:
        """The cells as they are stored."""
        return {"product": dict(self.product), "variants": {sku: dict(cells) for sku, cells in self.variants.items()}}

    def by_row(self, skus: Sequence[str]) -> list[dict[str, str]]:
        """The cells of each row of an export: one row for each variant, and at least one."""
        rows = [{**_OF_EACH_VARIANT, **self.variants.get(sku, {})} for sku in skus] or [{}]
        rows[0] = {**_OF_EACH_PRODUCT, **rows[0], **self.product}
        return rows

    def merge(self, stated: "KeptCells", columns: Iterable[str], skus: Sequence[str]) -> "KeptCells":
        """The cells after a file which has these `columns`, of a product that has these SKUs then.

        A missing column leaves its cells, an empty cell clears them. Of a variant that the file does not have, they
        stay. Returns `self` when an export would write the same rows.
        """
        present = frozenset(columns)
        variants = {
            sku: _replace(self.variants.get(sku, {}), stated.variants[sku], present)
            if sku in stated.variants
            else self.variants.get(sku, {})
            for sku in skus
        }
        filled = {sku: cells for sku, cells in variants.items() if cells}
        merged = KeptCells(_replace(self.product, stated.product, present), filled)
        return self if merged.by_row(skus) == self.by_row(skus) else merged


NO_CELLS = KeptCells()


def choose_columns(known: Sequence[str], unread: Iterable[str]) -> list[str]:
    """The columns of a file that are kept, among those that are not read; earlier files had the `known` ones."""
    wanted = [name for name in dict.fromkeys(unread) if 0 < len(name) <= MAX_COLUMN_NAME_LENGTH]
    free = MAX_COLUMNS - len(known)
    new = [name for name in wanted if name not in known][: max(free, 0)]
    return [name for name in wanted if name in known or name in new]


def parse_kept_cells(
    rows: Sequence[CsvRow], first: CsvRow, variants: Sequence[CsvRow], notices: Notices
) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The kept cells of a product and those of its variants, whose rows are given.

    The `first` row states the product beside a variant. A row that is only an image adds to the product.
    """
    of_product: dict[str, str] = {}
    of_variants: list[dict[str, str]] = [{} for _ in variants]
    indexes = {id(row): index for index, row in enumerate(variants)}
    for row in rows:
        cells = _read_cells(row, notices)
        index = indexes.get(id(row))
        if index is None and (row is first or row["Image Src"]):
            of_product = {**cells, **of_product}
        elif index is not None:
            own = {column: cell for column, cell in cells.items() if row is not first or is_of_variant(column)}
            of_variants[index] = own
            of_product |= {column: cell for column, cell in cells.items() if column not in own}
    return of_product, of_variants


def _read_cells(row: CsvRow, notices: Notices) -> dict[str, str]:
    cells: dict[str, str] = {}
    size = 0
    for column in row.format.kept_columns:
        if cell := row[column]:
            size += len(cell)
            if size > MAX_ROW_CHARACTERS:
                detail = f"The columns that are only kept have at most {MAX_ROW_CHARACTERS} characters in a row."
                notices.warn(row, column, f"This was left out. {detail}")
                break
            cells[column] = cell
    return cells


def _replace(before: Mapping[str, str], stated: Mapping[str, str], columns: frozenset[str]) -> dict[str, str]:
    return {column: cell for column, cell in before.items() if column not in columns} | dict(stated)
