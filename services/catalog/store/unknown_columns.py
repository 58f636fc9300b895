"""The statements of the columns that product files have and the shop has no field for, and of their cells."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.shopify.unknown_columns import KeptCells

_COLUMNS = "SELECT name FROM file_column ORDER BY position"
_LOCK_COLUMNS = "LOCK TABLE file_column IN SHARE ROW EXCLUSIVE MODE"
"""So that columns become visible in the order of their positions: pages of an export count them."""
_ADD_COLUMNS = """
INSERT INTO file_column (name) SELECT c.name FROM unnest($1::text[]) WITH ORDINALITY AS c (name, position)
WHERE NOT EXISTS (SELECT FROM file_column f WHERE f.name = c.name) ORDER BY c.position
"""
_FIND = "SELECT product_id, cells FROM kept_cells WHERE product_id = ANY($1)"
_SET = """
INSERT INTO kept_cells (product_id, cells) SELECT * FROM unnest($1::uuid[], $2::jsonb[])
ON CONFLICT (product_id) DO UPDATE SET cells = excluded.cells
"""


async def list_columns(connection: Connection) -> list[str]:
    """The columns whose cells are kept, in the order in which files brought them."""
    return [row["name"] for row in await connection.fetch(_COLUMNS)]


async def lock_columns(connection: Connection) -> None:
    """Lets no other transaction add columns until this one has ended."""
    await connection.execute(_LOCK_COLUMNS)


async def add_columns(connection: Connection, names: Sequence[str]) -> None:
    """Adds those of the columns that are not there yet."""
    await connection.execute(_ADD_COLUMNS, list(names))


async def find(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, KeptCells]:
    """The kept cells of those products that have any."""
    rows = await connection.fetch(_FIND, list(product_ids))
    return {row["product_id"]: KeptCells.from_json(row["cells"]) for row in rows}


async def store(connection: Connection, cells: Mapping[UUID, KeptCells]) -> None:
    """Writes the kept cells of products that the caller has locked or created."""
    if cells:
        await connection.execute(_SET, list(cells), [one.to_json() for one in cells.values()])
