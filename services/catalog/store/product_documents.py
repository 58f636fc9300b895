"""Products as they are served: a document that is written with the product, filled with live values when it is read.

A document is the product's JSON as a template. Its placeholders are the category's slug and the available units of each
variant, which change without the product. The rating does too: the document has the one of the time when it was
written, which becomes a placeholder when it is read. A document changes only together with the product's version. So a
process caches the documents it has read, by id, version and planned prices, and a read asks the database only for the
live values. A transaction does not use the cache, because what it reads may never be committed.

What only administrators may see, the cost and the own price of each variant, is in no document: it is read for them
alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import MAX_ORDER_UNITS
from contracts.tax_category import DEFAULT_TAX_CATEGORY
from infra.database.postgres import Connection
from services.catalog.domain.document_prices import with_planned_prices
from services.catalog.domain.product_records import VENDOR_ATTRIBUTE, AdminAmounts

CACHE_SIZE = 5_000
"""Documents; the oldest entry is dropped first."""

ON_SALE = "p.is_active AND (p.publish_at IS NULL OR p.publish_at <= now())"
"""Whether the product `p` is on sale at this moment."""
_AVAILABLE_UNITS = f"""CASE
    WHEN NOT s.is_tracked THEN {MAX_ORDER_UNITS}
    WHEN s.backorder THEN greatest(s.on_hand - s.reserved, {MAX_ORDER_UNITS})
    ELSE greatest(s.on_hand - s.reserved, 0)
END"""
"""How many units of the SKU `s` can be ordered at this moment: 0 without a row of it."""
_AVAILABLE = f"""{_AVAILABLE_UNITS} || CASE
    WHEN s.backorder AND s.is_tracked AND s.on_hand <= s.reserved THEN ',"on_backorder":true'
    ELSE ',"on_backorder":false'
END"""
"""The JSON of the field `available`, and the field behind it."""
_LIVE_COLUMNS = """p.id, p.version, p.rating_average, p.rating_count, c.slug AS category, c.breadcrumbs, CASE
    WHEN NOT p.is_active THEN 'inactive' WHEN p.publish_at > now() THEN 'draft' ELSE 'active'
END AS status, CASE WHEN p.planned_prices_end <= now() THEN planned_prices(p.id) ELSE p.planned_prices END AS prices,
extract(epoch FROM p.planned_prices_end - now())::float8 AS price_seconds"""
_AVAILABLE_OF_ACTIVE = f"ARRAY(SELECT {_AVAILABLE} FROM stock s WHERE s.product_id = p.id ORDER BY s.position)"  # noqa: S608 - constants
LIVE_COLUMNS_OF_ACTIVE = f"{_LIVE_COLUMNS}, {_AVAILABLE_OF_ACTIVE} AS available"
"""As `LIVE_COLUMNS`, for statements that find no inactive products: a tenth of a search is spent on the other case."""
LIVE_COLUMNS = f"""{_LIVE_COLUMNS}, CASE WHEN p.is_active
    THEN {_AVAILABLE_OF_ACTIVE}
    ELSE ARRAY(
        SELECT {_AVAILABLE} FROM (
            SELECT sku, position FROM variant WHERE product_id = p.id
            UNION ALL SELECT sku, position FROM freed_variant WHERE product_id = p.id
        ) v LEFT JOIN stock s ON s.sku = v.sku AND s.product_id = p.id ORDER BY v.position
    )
END AS available"""  # noqa: S608 - constants
"""The live values of product `p` with category `c`, which are not in its document.

Of a product off sale, other products may have taken SKUs. Prices of a plan are those in force by the database's clock,
however late the price mover is; `price_seconds` is how long they last, negative while the mover is late.
"""
_RATING = re.compile(r'"rating":\{"average":[0-9.]+,"count":[0-9]+\}')
"""The rating in a document. A text cannot look like it, because its quotation marks are escaped."""
_FIRST_NEW_FIELD = '"seo":{'
_NEW_FIELDS = f',"tax_category":"{DEFAULT_TAX_CATEGORY}","seo":{{"title":null,"description":null}}'
_NEW_VARIANT_FIELDS = ',"barcode":null,"requires_shipping":true'
"""What documents of a release before migration 0011 lack, but for the vendor, which was an attribute."""
_VENDOR_ATTRIBUTE = re.compile(rf'"{VENDOR_ATTRIBUTE}":("(?:[^"\\]|\\.)*")')

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
_ADMIN_AMOUNTS = """
SELECT sku, cost, price FROM variant WHERE product_id = $1
UNION ALL SELECT sku, cost, price FROM freed_variant WHERE product_id = $1
"""
_BREAKS = """(
    SELECT ',"price_breaks":' || coalesce(json_agg(json_build_object(
        'min_quantity', n.min_quantity, 'price', json_build_object('amount', n.price, 'currency', $2::text)
    ) ORDER BY n.min_quantity) FILTER (WHERE n.min_quantity > 1), '[]')
        || coalesce(',"valid_seconds":' || extract(epoch FROM min(n.ends_at) - now()), '')
    FROM price_period n WHERE n.product_id = v.product_id AND n.sku = v.sku
        AND n.starts_at <= now() AND (n.ends_at IS NULL OR n.ends_at > now())
)"""
"""The JSON of the prices of larger quantities of the variant `v`, and how long its prices last."""
_QUOTES = f"""
SELECT convert_to('{{"items":[' || coalesce(string_agg(
    '{{' || CASE
        WHEN v.has_price_plan THEN line_at_price(v.card, planned_price(v.product_id, v.sku, 1, now())) || {_BREAKS}
        ELSE v.card
    END || ',"available":' || {_AVAILABLE_UNITS} || CASE
        WHEN s.backorder AND s.is_tracked THEN ',"in_stock":' || greatest(s.on_hand - s.reserved, 0) ELSE ''
    END || '}}', ','
), '') || ']}}', 'UTF8')
FROM variant v JOIN stock s ON s.sku = v.sku
WHERE v.sku = ANY($1) AND v.on_sale AND (v.publish_at IS NULL OR v.publish_at <= now())
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class ProductDocument:
    """A product's JSON with its live values."""

    body: str
    version: int
    is_on_sale: bool
    moved_to: str | None = None
    """Its current slug, if it was asked for by an old one."""
    valid_seconds: float | None = None
    """How long its prices last; None if none is to change by time."""


class ProductDocumentCache:
    """Reads products, and caches the documents that it has read."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._documents: dict[tuple[UUID, int, str | None], str] = {}

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
            is_on_sale = row["status"] == "active"
            document = ProductDocument(body, row["version"], is_on_sale, valid_seconds=valid_seconds([row]))
            found[row["slug"]] = found[str(row["id"])] = document
        missing = [slug for slug in slugs if slug not in found or not found[slug].is_on_sale]
        return {**found, **await self._find_moved(connection, missing)} if missing else found

    async def _find_moved(self, connection: Connection, old_slugs: Sequence[str]) -> dict[str, ProductDocument]:
        rows = await connection.fetch(_BY_OLD_SLUG, old_slugs)
        bodies = await self.render(connection, rows)
        return {
            row["old_slug"]: ProductDocument(
                body, row["version"], is_on_sale=True, moved_to=row["slug"], valid_seconds=valid_seconds([row])
            )
            for row, body in zip(rows, bodies, strict=True)
        }

    async def render(self, connection: Connection, rows: Sequence[asyncpg.Record]) -> list[str]:
        """The JSON of each product, whose row has `LIVE_COLUMNS`.

        A product that is not cached is read in full, so it may be newer than its row.
        """
        cached = [self._documents.get((row["id"], row["version"], row["prices"])) for row in rows]
        missing = [row["id"] for row, document in zip(rows, cached, strict=True) if document is None]
        read = await self._read(connection, missing) if missing else {}
        return [
            read[row["id"]] if document is None else _fill(document, row)
            for row, document in zip(rows, cached, strict=True)
        ]

    async def _read(self, connection: Connection, ids: list[UUID]) -> dict[UUID, str]:
        rendered = {}
        for row in await connection.fetch(_DOCUMENT, ids):
            template = self._cache(row)
            rendered[row["id"]] = _fill(template, row)
        return rendered

    def _cache(self, row: asyncpg.Record) -> str:
        template = _to_template(row)
        self._documents[row["id"], row["version"], row["prices"]] = template
        if len(self._documents) > self._size:
            del self._documents[next(iter(self._documents))]
        return template


async def read_product(connection: Connection, product_id: UUID) -> str | None:
    """The JSON of a product as the transaction sees it."""
    row = await connection.fetchrow(_DOCUMENT, [product_id])
    return _fill(_to_template(row), row) if row else None


def valid_seconds(rows: Sequence[asyncpg.Record]) -> float | None:
    """How long the prices in these rows with `LIVE_COLUMNS` last; None if none is to change by time."""
    seconds = [row["price_seconds"] for row in rows if row["price_seconds"] is not None]
    return max(min(seconds), 0.0) if seconds else None


async def read_admin_amounts(connection: Connection, product_id: UUID) -> dict[str, AdminAmounts]:
    """What only administrators see of each variant, by SKU."""
    rows = await connection.fetch(_ADMIN_AMOUNTS, product_id)
    return {row["sku"]: AdminAmounts(row["cost"], row["price"]) for row in rows}


async def read_live_values(connection: Connection, ids: Sequence[UUID]) -> list[asyncpg.Record]:
    """The live values of products, to render them, in the order of their ids."""
    return await connection.fetch(_LIVE_VALUES, ids)


async def read_quotes(connection: Connection, skus: list[str], currency: str) -> bytes:
    """The JSON of `SkuQuoteList` for those SKUs that are on sale."""
    body: bytes = await connection.fetchval(_QUOTES, skus, currency)
    return body


def _to_template(row: asyncpg.Record) -> str:
    """The document with its planned prices, and placeholders for the rating, the status and the breadcrumbs."""
    template = _RATING.sub('"rating":{"average":%s,"count":%s}', row["document"], count=1)
    if _FIRST_NEW_FIELD not in template:
        template = _complete(template)
    if row["prices"] is not None:
        template = with_planned_prices(template, row["prices"])
    return f'{template[:-1]},"status":"%s","breadcrumbs":[%s]}}'


def _complete(template: str) -> str:
    """A template of an older release, with the fields that came later."""
    vendor = _VENDOR_ATTRIBUTE.search(template.partition(',"variants":')[0])
    with_variants = template.replace(',"available":%s}', f'{_NEW_VARIANT_FIELDS},"available":%s}}')
    return f'{with_variants[:-1]},"vendor":{vendor[1] if vendor else "null"}{_NEW_FIELDS}}}'


def _fill(template: str, row: Any) -> str:
    """Fills a template; a slug needs no escaping in JSON."""
    category = "null" if row["category"] is None else f'"{row["category"]}"'
    path = row["breadcrumbs"] or ""
    return template % (row["rating_average"], row["rating_count"], category, *row["available"], row["status"], path)


def _precedence(row: asyncpg.Record) -> tuple[bool, bool, UUID]:
    """Sorts products with the same slug: the last one has it."""
    return row["status"] == "active", row["is_active"], row["id"]
