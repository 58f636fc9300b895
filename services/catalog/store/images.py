"""The statements of product images; their pixels are in the object store."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection

_INSERT = """
INSERT INTO image (id, product_id, position, alt, widths)
SELECT $1, $2, coalesce(max(position), 0) + 1, $3, $4 FROM image WHERE product_id = $2
"""
_WIDTHS = "SELECT widths FROM image WHERE id = $1"


async def insert(connection: Connection, image_id: UUID, product_id: UUID, alt: str, widths: Sequence[int]) -> None:
    """Adds an image after the product's other images."""
    await connection.execute(_INSERT, image_id, product_id, alt, list(widths))


async def find_widths(connection: Connection, image_id: UUID) -> list[int] | None:
    """The widths in pixels that the image is stored at; None when there is no such image."""
    widths: list[int] | None = await connection.fetchval(_WIDTHS, image_id)
    return widths
