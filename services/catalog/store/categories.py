"""The statements of the category tree."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog import Category, CategoryInUse, CategoryUnknown, SlugTaken
from contracts.failure import FieldError
from infra.database.advisory_locks import AdvisoryLock, lock
from infra.database.postgres import Connection
from services.catalog.domain.folded_text import name_key

_GET = "SELECT id, slug, name, parent_id FROM category WHERE id = $1"
_BY_SLUG = "SELECT id FROM category WHERE slug = $1"
_BY_NAME = "SELECT id FROM category WHERE lower(name) = lower($1) ORDER BY (name = $1) DESC, id LIMIT 1"
_BELOW = """
SELECT id FROM category WHERE lower(name) = lower($2) AND parent_id IS NOT DISTINCT FROM $1
ORDER BY (name = $2) DESC, id LIMIT 1
"""
_PAGE = """
SELECT id, slug, name, parent_id FROM category
WHERE $1::bytea IS NULL OR (name_key, id) > ($1, $2) ORDER BY name_key, id LIMIT $3
"""
_INSERT = """
INSERT INTO category (id, slug, name, parent_id, name_key, keyed_name) VALUES ($1, $2, $3, $4, $5, $3)
ON CONFLICT (slug) DO NOTHING RETURNING id, slug, name, parent_id
"""
_UPDATE = """
UPDATE category SET slug = $2, name = $3, parent_id = $4, name_key = $5, keyed_name = $3 WHERE id = $1
RETURNING id, slug, name, parent_id
"""
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


async def find_by_name(connection: Connection, name: str) -> UUID | None:
    """The id of the category with that name, in any case; the one with exactly that name first."""
    category_id: UUID | None = await connection.fetchval(_BY_NAME, name)
    return category_id


async def find_below(connection: Connection, parent_id: UUID | None, name: str) -> UUID | None:
    """The id of the category with that name, in any case, directly below another one; at the top for None."""
    category_id: UUID | None = await connection.fetchval(_BELOW, parent_id, name)
    return category_id


async def list_page(connection: Connection, after: tuple[str, UUID] | None, limit: int) -> list[Category]:
    """Categories by name, after the name and the id of the last page's last category."""
    key = (name_key(after[0]), after[1]) if after else (None, None)
    return [_to_category(row) for row in await connection.fetch(_PAGE, *key, limit)]


async def insert(
    connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None
) -> Category | None:
    """The new category; None when another category has the slug."""
    try:
        row = await connection.fetchrow(_INSERT, category_id, slug, name, parent_id, name_key(name))
        return _to_category_or_none(row)
    except asyncpg.ForeignKeyViolationError as error:
        raise _parent_unknown() from error


async def update(connection: Connection, category_id: UUID, slug: str, name: str, parent_id: UUID | None) -> Category:
    """The category after the update, whose row must exist."""
    try:
        return _to_category(await connection.fetchrow(_UPDATE, category_id, slug, name, parent_id, name_key(name)))
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
