"""Gives each row of a WooCommerce file the handle of its product. Its variations may stand anywhere in the file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from services.catalog.domain.shopify.row_reader import CsvRow

ID_PREFIX = "id:"
_HANDLE_PREFIX = "woocommerce-"


def is_variation(row: CsvRow) -> bool:
    """Whether the row is a variant of a product that another row states."""
    return "variation" in product_types(row)


def product_types(row: CsvRow) -> frozenset[str]:
    """The types of a row, such as `simple` and `virtual`."""
    return frozenset(part.strip().lower() for part in row["Type"].split(","))


def find_parents(rows: Iterable[CsvRow]) -> dict[str, str]:
    """The handles of products with variations, by the SKU that their variations name them by."""
    return {row["SKU"]: _own_handle(row) for row in rows if row["SKU"] and "variable" in product_types(row)}


def with_handles(rows: Iterable[CsvRow], parents: Mapping[str, str]) -> Iterator[CsvRow]:
    """The rows with the cells `Handle` and `Title`. The ID makes the handle, so that a product may be renamed."""
    for row in rows:
        if is_variation(row):
            parent = row["Parent"]
            is_id = parent.lower().startswith(ID_PREFIX)
            made = f"{_HANDLE_PREFIX}{parent[len(ID_PREFIX) :].strip()}" if is_id else parents.get(parent, parent)
            yield replace(row, cells={**row.cells, "Handle": made, "Title": ""})
        else:
            yield replace(row, cells={**row.cells, "Handle": _own_handle(row), "Title": row["Name"]})


def _own_handle(row: CsvRow) -> str:
    """The handle of a product; empty if it has neither an ID nor a SKU, so that its title makes it."""
    identity = row["ID"] or row["SKU"]
    return f"{_HANDLE_PREFIX}{identity}" if identity else ""
