"""Cuts a product file into pages that fit into a reply. The rows of a product are on one page if they fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.catalog import ExportChanged, ProductFileDialect
from contracts.size_limits import MAX_PAGE_BYTES
from services.catalog.domain.shopify.row_writer import ExportedProduct, ShopFacts, header_line, product_lines


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where a page starts: at a product, or after some rows of it, which are then those of a version.

    Every page has as many of the columns that are only kept as the header does.
    """

    product_id: UUID
    rows_done: int = 0
    version: int = 0
    kept_columns: int = 0


@dataclass(frozen=True, slots=True)
class FilePage:
    """A part of a file in UTF-8, and where the next one starts; None after the last."""

    content: bytes
    next: FilePosition | None


def write_page(
    products: Sequence[ExportedProduct],
    start: FilePosition | None,
    next_id: UUID | None,
    dialect: ProductFileDialect,
    shop: ShopFacts,
    kept_columns: Sequence[str] = (),
) -> FilePage:
    """The page from `start` on, which is in the first of the products. `next_id` is that of the product after them.

    The first page has the header. Raises `ExportChanged` if rows before `start` are of another version.
    """
    if start:
        kept_columns = kept_columns[: start.kept_columns]
    count = len(kept_columns)
    parts = [] if start else [header_line(dialect, kept_columns).encode()]
    size = sum(map(len, parts))
    for exported in products:
        product = exported.product
        lines = [line.encode() for line in product_lines(exported, dialect, shop, kept_columns)]
        rows_done = 0
        if start and start.rows_done and exported is products[0]:
            if (product.id, product.version) != (start.product_id, start.version):
                raise ExportChanged
            rows_done = start.rows_done
            lines = lines[rows_done:]
        if parts and size + sum(map(len, lines)) > MAX_PAGE_BYTES:
            return FilePage(b"".join(parts), FilePosition(product.id, kept_columns=count))
        for line in lines:
            if parts and size + len(line) > MAX_PAGE_BYTES:
                return FilePage(b"".join(parts), FilePosition(product.id, rows_done, product.version, count))
            parts.append(line)
            size += len(line)
            rows_done += 1
    return FilePage(b"".join(parts), FilePosition(next_id, kept_columns=count) if next_id else None)
