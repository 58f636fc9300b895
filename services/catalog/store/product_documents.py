"""Products as they are served: a document that is written with the product, filled with live values when it is read.

A document is the product's JSON as a template. Its placeholders are the category's slug and the available units of each
variant, which change without the product. The rating does too: the document has the one of the time when it was
written, which becomes a placeholder when it is read. A document changes only together with the product's version. So a
process caches the documents it has read, by id and version, and a read asks the database only for the live values. A
transaction does not use the cache, because what it reads may never be committed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from infra.database.postgres import Connection

CACHE_SIZE = 5_000
"""Documents; the oldest entry is dropped first."""

ON_SALE = "p.is_active AND (p.publish_at IS NULL OR p.publish_at <= now())"
"""Whether the product `p` is on sale at this moment."""
LIVE_COLUMNS = """p.id, p.version, p.rating_average, p.rating_count, c.slug AS category, CASE
    WHEN NOT p.is_active THEN 'inactive' WHEN p.publish_at > now() THEN 'draft' ELSE 'active'
END AS status, CASE WHEN p.is_active
    THEN ARRAY(SELECT s.on_hand - s.reserved FROM stock s WHERE s.product_id = p.id ORDER BY s.position)
    ELSE ARRAY(
        SELECT coalesce(s.on_hand - s.reserved, 0) FROM (
            SELECT sku, position FROM variant WHERE product_id = p.id
            UNION ALL SELECT sku, position FROM freed_variant WHERE product_id = p.id
        ) v LEFT JOIN stock s ON s.sku = v.sku AND s.product_id = p.id ORDER BY v.position
    )
END AS available"""
"""The live values of product `p` with category `c`, which are not in its document.

Of a product off sale, other products may have taken SKUs.
"""
_RATING = re.compile(r'"rating":\{"average":[0-9.]+,"count":[0-9]+\}')
"""The rating in a document. A text cannot look like it, because its quotation marks are escaped."""

_GET = f"SELECT p.is_active, p.slug, {LIVE_COLUMNS} FROM product p LEFT JOIN category c ON c.id = p.category_id"  # noqa: S608 - constants
_BY_ID_OR_SLUG = f"{_GET} WHERE p.id = ANY($1) OR p.slug = ANY($2)"
_BY_OLD_SLUG = f"""
SELECT o.slug AS old_slug, p.slug, {LIVE_COLUMNS}
FROM old_slug o JOIN product p ON p.id = o.product_id LEFT JOIN category c ON c.id = p.category_id
WHERE o.slug = ANY($1) AND {ON_SALE}
"""  # noqa: S608 - constants
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
FROM variant v JOIN stock s ON s.sku = v.sku
WHERE v.sku = ANY($1) AND v.on_sale AND (v.publish_at IS NULL OR v.publish_at <= now())
"""


@dataclass(frozen=True, slots=True)
class ProductDocument:
    """A product's JSON with its live values."""

    body: str
    version: int
    is_on_sale: bool
    moved_to: str | None = None
    """Its current slug, if it was asked for by an old one."""


class ProductDocumentCache:
    """Reads products, and caches the documents that it has read."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._documents: dict[tuple[UUID, int], str] = {}

    async def find(
        self, connection: Connection, ids: Sequence[UUID], slugs: Sequence[str]
    ) -> dict[str, ProductDocument]:
        """The products that exist, each under its id and its slugs.

        A slug is that of the product on sale that has it, else of the one on sale that had it last. Products that are
        not on sale come after those.
        """
        rows = await connection.fetch(_BY_ID_OR_SLUG, ids, slugs)
        rows.sort(key=_precedence)
        found: dict[str, ProductDocument] = {}
        for row, body in zip(rows, await self.render(connection, rows), strict=True):
            document = ProductDocument(body, row["version"], row["status"] == "active")
            found[row["slug"]] = found[str(row["id"])] = document
        missing = [slug for slug in slugs if slug not in found or not found[slug].is_on_sale]
        return {**found, **await self._find_moved(connection, missing)} if missing else found

    async def _find_moved(self, connection: Connection, old_slugs: Sequence[str]) -> dict[str, ProductDocument]:
        rows = await connection.fetch(_BY_OLD_SLUG, old_slugs)
        bodies = await self.render(connection, rows)
        return {
            row["old_slug"]: ProductDocument(body, row["version"], is_on_sale=True, moved_to=row["slug"])
            for row, body in zip(rows, bodies, strict=True)
        }

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
            rendered[row["id"]] = _fill(_to_template(row["document"]), row)
        return rendered

    def _cache(self, row: asyncpg.Record) -> None:
        self._documents[row["id"], row["version"]] = _to_template(row["document"])
        if len(self._documents) > self._size:
            del self._documents[next(iter(self._documents))]


async def read_product(connection: Connection, product_id: UUID) -> str | None:
    """The JSON of a product as the transaction sees it."""
    row = await connection.fetchrow(_DOCUMENT, [product_id])
    return _fill(_to_template(row["document"]), row) if row else None


async def read_live_values(connection: Connection, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """The live values of products, to render them, in the order of their ids."""
    return await connection.fetch(_LIVE_VALUES, ids)


async def read_quotes(connection: Connection, skus: list[str]) -> bytes:
    """The JSON of `SkuQuoteList` for those SKUs that are on sale."""
    body: bytes = await connection.fetchval(_QUOTES, skus)
    return body


def _to_template(document: str) -> str:
    """The document with placeholders for the rating and, at its end, for the status."""
    template = _RATING.sub('"rating":{"average":%s,"count":%s}', document, count=1)
    return f'{template[:-1]},"status":"%s"}}'


def _fill(template: str, row: Any) -> str:
    """Fills a template; a slug needs no escaping in JSON."""
    category = "null" if row["category"] is None else f'"{row["category"]}"'
    return template % (row["rating_average"], row["rating_count"], category, *row["available"], row["status"])


def _precedence(row: asyncpg.Record) -> tuple[bool, bool, UUID]:
    """Sorts products with the same slug: the last one has it."""
    return row["status"] == "active", row["is_active"], row["id"]
