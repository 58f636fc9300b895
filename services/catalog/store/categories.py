"""The statements of the category tree."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import Category, CategoryInUse, CategoryUnknown, SlugTaken
from contracts.failure import FieldError
from infra.database.advisory_locks import AdvisoryLock, lock
from infra.database.postgres import Connection

_GET = "SELECT id, slug, name, parent_id FROM category WHERE id = $1"
_BY_SLUG = "SELECT id FROM category WHERE slug = $1"
_PAGE = """
SELECT id, slug, name, parent_id, lower(name) AS lowered FROM category
WHERE $1::text IS NULL OR (lower(name), id) > ($1, $2) ORDER BY lower(name), id LIMIT $3
"""
_INSERT = """
INSERT INTO category (id, slug, name, parent_id) VALUES ($1, $2, $3, $4) ON CONFLICT (slug) DO NOTHING
RETURNING id, slug, name, parent_id
"""
_UPDATE = "UPDATE category SET slug = $2, name = $3, parent_id = $4 WHERE id = $1 RETURNING id, slug, name, parent_id"
_DELETE = "DELETE FROM category WHERE id = $1 RETURNING true"
_ANCESTORS = """
WITH RECURSIVE up AS (
    SELECT id, parent_id FROM category WHERE id = $1
    UNION SELECT c.id, c.parent_id FROM category c JOIN up ON c.id = up.parent_id
)
SELECT id FROM up
"""


async def get(connection: Connection, category_id: UUID) -> Category | None:
    """The category of that id."""
    return _to_category_or_none(await connection.fetchrow(_GET, category_id))


async def find_by_slug(connection: Connection, slug: str) -> UUID | None:
    """The id of the category with that slug."""
    category_id: UUID | None = await connection.fetchval(_BY_SLUG, slug)
    return category_id


async def list_page(
    connection: Connection, after: tuple[str, UUID] | None, limit: int
) -> list[tuple[Category, tuple[str, str]]]:
    """Categories by name, after the sort key of the last page's last category; each comes with its own sort key."""
    rows = await connection.fetch(_PAGE, *(after or (None, None)), limit)
    return [(_to_category(row), (row["lowered"], str(row["id"]))) for row in rows]


async def insert(
    connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None
) -> Category | None:
    """The new category; None when another category has the slug."""
    try:
        return _to_category_or_none(await connection.fetchrow(_INSERT, category_id, slug, name, parent_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise _parent_unknown() from error


async def update(connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None) -> Category:
    """The category after the update, whose row must exist."""
    try:
        return _to_category(await connection.fetchrow(_UPDATE, category_id, slug, name, parent_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise _parent_unknown() from error
    except asyncpg.UniqueViolationError as error:
        raise SlugTaken(errors=[FieldError(pointer="/slug", detail="Another category has this slug.")]) from error


async def delete(connection: Connection, category_id: UUID) -> bool:
    """Whether the category existed; raises `CategoryInUse` while products or categories refer to it."""
    try:
        return bool(await connection.fetchval(_DELETE, category_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise CategoryInUse from error


async def lock_tree(connection: Connection) -> None:
    """Locks the category tree until the commit: two concurrent moves could close a cycle that neither closes alone."""
    await lock(connection, AdvisoryLock.CATEGORY_TREE)


async def ancestors(connection: Connection, category_id: UUID) -> Sequence[UUID]:
    """The category itself and all above it."""
    return [row["id"] for row in await connection.fetch(_ANCESTORS, category_id)]


def _to_category_or_none(row: Any) -> Category | None:
    return _to_category(row) if row else None


def _to_category(row: Any) -> Category:
    return Category(id=row["id"], slug=row["slug"], name=row["name"], parent_id=row["parent_id"])


def _parent_unknown() -> CategoryUnknown:
    return CategoryUnknown(errors=[FieldError(pointer="/parent_id", detail="There is no category with this id.")])
