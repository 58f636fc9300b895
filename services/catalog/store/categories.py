"""The category tree."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import Category, CategoryInUse, CategoryUnknown, SlugTaken
from contracts.failure import FieldError
from infra.database.postgres import Connection

TREE_LOCK = 0x54_52_45
"""Advisory lock of whoever moves a category: two moves together may close a cycle that neither does alone."""

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
_LOCK_TREE = "SELECT pg_advisory_xact_lock($1)"
_ANCESTORS = """
WITH RECURSIVE up AS (
    SELECT id, parent_id FROM category WHERE id = $1
    UNION SELECT c.id, c.parent_id FROM category c JOIN up ON c.id = up.parent_id
)
SELECT id FROM up
"""


async def get(connection: Connection, category_id: UUID) -> Category | None:
    return _category(await connection.fetchrow(_GET, category_id))


async def find_by_slug(connection: Connection, slug: str) -> UUID | None:
    found: UUID | None = await connection.fetchval(_BY_SLUG, slug)
    return found


async def list_page(
    connection: Connection, after: tuple[str, UUID] | None, limit: int
) -> list[tuple[Category, tuple[str, str]]]:
    """Categories by name after a key, each with its own key."""
    rows = await connection.fetch(_PAGE, *(after or (None, None)), limit)
    return [(_read(row), (row["lowered"], str(row["id"]))) for row in rows]


async def insert(
    connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None
) -> Category | None:
    """None when the slug is another's."""
    try:
        return _category(await connection.fetchrow(_INSERT, category_id, slug, name, parent_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise _no_parent() from error


async def update(connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None) -> Category:
    try:
        return _read(await connection.fetchrow(_UPDATE, category_id, slug, name, parent_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise _no_parent() from error
    except asyncpg.UniqueViolationError as error:
        raise SlugTaken(errors=[FieldError(pointer="/slug", detail="belongs to another category")]) from error


async def delete(connection: Connection, category_id: UUID) -> bool:
    """Whether it was there."""
    try:
        return bool(await connection.fetchval(_DELETE, category_id))
    except asyncpg.ForeignKeyViolationError as error:
        raise CategoryInUse from error


async def lock_tree(connection: Connection) -> None:
    await connection.execute(_LOCK_TREE, TREE_LOCK)


async def ancestors(connection: Connection, category_id: UUID) -> Sequence[UUID]:
    """The category itself and all above it."""
    return [row["id"] for row in await connection.fetch(_ANCESTORS, category_id)]


def _category(row: Any) -> Category | None:
    return _read(row) if row else None


def _read(row: Any) -> Category:
    return Category(id=row["id"], slug=row["slug"], name=row["name"], parent_id=row["parent_id"])


def _no_parent() -> CategoryUnknown:
    return CategoryUnknown(errors=[FieldError(pointer="/parent_id", detail="there is no such category")])
