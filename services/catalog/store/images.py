"""Pictures of products; their pixels are in the object store."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection

_INSERT = """
INSERT INTO image (id, product_id, position, alt, widths)
SELECT $1, $2, coalesce(max(position), 0) + 1, $3, $4 FROM image WHERE product_id = $2
"""
_WIDTHS = "SELECT widths FROM image WHERE id = $1"


async def insert(connection: Connection, image_id: UUID, product_id: UUID, alt: str, widths: Sequence[int]) -> None:
    """Behind the product's other pictures."""
    await connection.execute(_INSERT, image_id, product_id, alt, list(widths))


async def find_widths(connection: Connection, image_id: UUID) -> list[int] | None:
    found: list[int] | None = await connection.fetchval(_WIDTHS, image_id)
    return found
