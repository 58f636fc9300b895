"""Products as they are served: a document written with the product, what is available joined to it as it is read."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from infra.postgres import Connection

SERVED = """
convert_to(format(d.document, VARIADIC ARRAY[coalesce(to_json(c.slug)::text, 'null')] || ARRAY(
    SELECT (s.on_hand - s.reserved)::text FROM stock s WHERE s.product_id = p.id ORDER BY s.position
)), 'UTF8') AS body
"""
"""The JSON of product `p` with its document `d` and category `c`."""

_GET = f"""
SELECT p.version, p.is_active, {SERVED}
FROM product p JOIN product_document d ON d.product_id = p.id LEFT JOIN category c ON c.id = p.category_id
"""  # noqa: S608 - constants
_BY_ID = f"{_GET} WHERE p.id = $1"
_BY_SLUG = f"{_GET} WHERE p.slug = $1"
_QUOTES = """
SELECT convert_to('{"items":[' || coalesce(string_agg(
    '{' || v.card || ',"available":' || (s.on_hand - s.reserved) || '}', ','
), '') || ']}', 'UTF8')
FROM variant v JOIN stock s ON s.sku = v.sku WHERE v.sku = ANY($1) AND v.on_sale
"""


@dataclass(frozen=True, slots=True)
class Document:
    """A product's JSON as of now."""

    body: bytes
    version: int
    is_active: bool


async def by_id(connection: Connection, product_id: UUID) -> Document | None:
    return _document(await connection.fetchrow(_BY_ID, product_id))


async def by_slug(connection: Connection, slug: str) -> Document | None:
    return _document(await connection.fetchrow(_BY_SLUG, slug))


async def quotes(connection: Connection, skus: list[str]) -> bytes:
    """The JSON of `Quotes` for those of the SKUs that are on sale."""
    body: bytes = await connection.fetchval(_QUOTES, skus)
    return body


def _document(row: Any) -> Document | None:
    return Document(row["body"], row["version"], row["is_active"]) if row else None
