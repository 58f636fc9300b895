"""Products as they are served: a document that is written with the product, filled with live values when it is read.

A document is the product's JSON as a template. Its placeholders are the category's slug and the available units of each
variant, which change without the product. A document changes only together with the product's version. So a process
caches the documents it has read, by id and version, and a read asks the database only for the live values. A
transaction does not use the cache, because what it reads may never be committed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from infra.database.postgres import Connection

CACHE_SIZE = 5_000
"""Documents; the oldest entry is dropped first."""

LIVE_COLUMNS = """p.id, p.version, c.slug AS category, ARRAY(
    SELECT s.on_hand - s.reserved FROM stock s WHERE s.product_id = p.id ORDER BY s.position
) AS available"""
"""The live values of product `p` with category `c`, which are not in its document."""

_GET = f"SELECT p.is_active, p.slug, {LIVE_COLUMNS} FROM product p LEFT JOIN category c ON c.id = p.category_id"  # noqa: S608 - constants
_BY_ID_OR_SLUG = f"{_GET} WHERE p.id = ANY($1) OR p.slug = ANY($2)"
_LIVE_VALUES = f"""
SELECT {LIVE_COLUMNS} FROM unnest($1::uuid[]) WITH ORDINALITY AS page (id, place)
JOIN product p ON p.id = page.id LEFT JOIN category c ON c.id = p.category_id ORDER BY page.place
"""  # noqa: S608 - constants
_DOCUMENT = f"""
SELECT p.is_active, d.document, {LIVE_COLUMNS}
FROM product p JOIN product_document d ON d.product_id = p.id LEFT JOIN category c ON c.id = p.category_id
WHERE p.id = ANY($1)
"""  # noqa: S608 - constants
_QUOTES = """
SELECT convert_to('{"items":[' || coalesce(string_agg(
    '{' || v.card || ',"available":' || (s.on_hand - s.reserved) || '}', ','
), '') || ']}', 'UTF8')
FROM variant v JOIN stock s ON s.sku = v.sku WHERE v.sku = ANY($1) AND v.on_sale
"""


@dataclass(frozen=True, slots=True)
class ProductDocument:
    """A product's JSON with its live values."""

    body: str
    version: int
    is_active: bool


class ProductDocumentCache:
    """Reads products, and caches the documents that it has read."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._documents: dict[tuple[UUID, int], str] = {}

    async def find(
        self, connection: Connection, ids: Sequence[UUID], slugs: Sequence[str]
    ) -> dict[str, ProductDocument]:
        """The products that exist, each under its slug and its id."""
        rows = await connection.fetch(_BY_ID_OR_SLUG, ids, slugs)
        found: dict[str, ProductDocument] = {}
        for row, body in zip(rows, await self.render(connection, rows), strict=True):
            document = ProductDocument(body, row["version"], row["is_active"])
            found[row["slug"]] = found[str(row["id"])] = document
        return found

    async def render(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> list[str]:
        """The JSON of each product, whose row has `LIVE_COLUMNS`.

        A product that is not cached is read in full, so it may be newer than its row.
        """
        cached = [self._documents.get((row["id"], row["version"])) for row in rows]
        missing = [row["id"] for row, document in zip(rows, cached, strict=True) if document is None]
        read = await self._read(connection, missing) if missing else {}
        return [
            read[row["id"]] if document is None else _fill(document, row)
            for row, document in zip(rows, cached, strict=True)
        ]

    async def _read(self, connection: Connection, ids: list[UUID]) -> dict[UUID, str]:
        rendered = {}
        for row in await connection.fetch(_DOCUMENT, ids):
            self._cache(row)
            rendered[row["id"]] = _fill(row["document"], row)
        return rendered

    def _cache(self, row: asyncpg.Record) -> None:
        self._documents[row["id"], row["version"]] = row["document"]
        if len(self._documents) > self._size:
            del self._documents[next(iter(self._documents))]


async def read_product(connection: Connection, product_id: UUID) -> str | None:
    """The JSON of a product as the transaction sees it."""
    row = await connection.fetchrow(_DOCUMENT, [product_id])
    return _fill(row["document"], row) if row else None


async def read_live_values(connection: Connection, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """The live values of products, to render them, in the order of their ids."""
    return await connection.fetch(_LIVE_VALUES, ids)


async def read_quotes(connection: Connection, skus: list[str]) -> bytes:
    """The JSON of `SkuQuoteList` for those SKUs that are on sale."""
    body: bytes = await connection.fetchval(_QUOTES, skus)
    return body


def _fill(document: str, row: Any) -> str:
    """Fills a template; a slug needs no escaping in JSON."""
    category = "null" if row["category"] is None else f'"{row["category"]}"'
    return document % (category, *row["available"])
