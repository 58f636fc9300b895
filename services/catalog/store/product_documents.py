"""Products as they are served: a document written with the product, what is available joined to it as it is read.

A document is the product's JSON as a template: its holes are the category's slug and what is available of each variant,
which change without the product. A document changes only together with the product's version, so a process may keep
the documents it has read, by id and version, and a read asks the database for the rest alone. Within a transaction
everything is read afresh: what it sees may never be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from infra.database.postgres import Connection

CACHE_SIZE = 5_000

LIVE_COLUMNS = """p.id, p.version, c.slug AS category, ARRAY(
    SELECT s.on_hand - s.reserved FROM stock s WHERE s.product_id = p.id ORDER BY s.position
) AS available"""
"""What of product `p` with category `c` is not in its document."""

_GET = f"SELECT p.is_active, p.slug, {LIVE_COLUMNS} FROM product p LEFT JOIN category c ON c.id = p.category_id"  # noqa: S608 - constants
_BY_ID_OR_SLUG = f"{_GET} WHERE p.id = ANY($1) OR p.slug = ANY($2)"
_WHOLE = f"""
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
    """A product's JSON as of now."""

    body: str
    version: int
    is_active: bool


class ProductDocumentCache:
    """Reads products, keeping the documents it has read."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._most = size
        self._kept: dict[tuple[UUID, int], str] = {}

    async def find(
        self, connection: Connection, ids: Sequence[UUID], slugs: Sequence[str]
    ) -> dict[str, ProductDocument]:
        """Those that are there, by slug and by id."""
        rows = await connection.fetch(_BY_ID_OR_SLUG, ids, slugs)
        found: dict[str, ProductDocument] = {}
        for row, body in zip(rows, await self.render(connection, rows), strict=True):
            document = ProductDocument(body, row["version"], row["is_active"])
            found[row["slug"]] = found[str(row["id"])] = document
        return found

    async def render(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> list[str]:
        """The JSON of each product, whose row has `CURRENT`. One that changed since is as it is now."""
        kept = [self._kept.get((row["id"], row["version"])) for row in rows]
        missing = [row["id"] for row, document in zip(rows, kept, strict=True) if document is None]
        afresh = await self._read(connection, missing) if missing else {}
        return [
            afresh[row["id"]] if document is None else _filled(document, row)
            for row, document in zip(rows, kept, strict=True)
        ]

    async def _read(self, connection: Connection, ids: list[UUID]) -> dict[UUID, str]:
        found = {}
        for row in await connection.fetch(_WHOLE, ids):
            self._keep(row)
            found[row["id"]] = _filled(row["document"], row)
        return found

    def _keep(self, row: asyncpg.Record) -> None:
        self._kept[row["id"], row["version"]] = row["document"]
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]


async def read_product(connection: Connection, product_id: UUID) -> str | None:
    """The JSON of a product as a transaction sees it."""
    row = await connection.fetchrow(_WHOLE, [product_id])
    return _filled(row["document"], row) if row else None


async def read_quotes(connection: Connection, skus: list[str]) -> bytes:
    """The JSON of `Quotes` for those of the SKUs that are on sale."""
    body: bytes = await connection.fetchval(_QUOTES, skus)
    return body


def _filled(document: str, row: Any) -> str:
    """A slug needs no escaping in JSON."""
    category = "null" if row["category"] is None else f'"{row["category"]}"'
    return document % (category, *row["available"])
