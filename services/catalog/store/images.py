"""The statements of product images; their pixels are in the object store."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.product_records import ImageRecord

_INSERT = """
INSERT INTO image (id, product_id, position, alt, widths)
SELECT $1, $2, coalesce(max(position), 0) + 1, $3, $4 FROM image WHERE product_id = $2
"""
_CHANGE = """
UPDATE image SET alt = i.alt, position = i.position
FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS i (id, alt, position) WHERE image.id = i.id
"""
_DELETE = "DELETE FROM image WHERE id = $1 RETURNING widths"
_WIDTHS = "SELECT widths FROM image WHERE id = $1"


async def insert(connection: Connection, image_id: UUID, product_id: UUID, alt: str, widths: Sequence[int]) -> None:
    """Adds an image after the product's other images."""
    await connection.execute(_INSERT, image_id, product_id, alt, list(widths))


async def change(connection: Connection, images: Sequence[ImageRecord]) -> None:
    """Writes the texts of a product's images and their order."""
    await connection.execute(_CHANGE, [image.id for image in images], [image.alt for image in images])


async def delete(connection: Connection, image_id: UUID) -> list[int]:
    """Deletes an image; returns the widths in pixels that it is stored at."""
    widths: list[int] = await connection.fetchval(_DELETE, image_id)
    return widths


async def find_widths(connection: Connection, image_id: UUID) -> list[int] | None:
    """The widths in pixels that the image is stored at; None when there is no such image."""
    widths: list[int] | None = await connection.fetchval(_WIDTHS, image_id)
    return widths
