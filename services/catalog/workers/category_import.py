"""Finds the categories that product files name, and creates those that are missing."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection
from infra.foundation.ids import new_id
from services.catalog.domain.slugs import make_unique, slugify
from services.catalog.store import categories


class CategoryFinder:
    """The categories of a batch of products. Each is looked up once in the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ids: dict[tuple[str, ...], UUID | None] = {}
        self._names: dict[UUID, str] = {}

    async def find_or_create(self, parents: Sequence[str], name: str) -> UUID | None:
        """The category of that name, in any case, below its `parents` if the file states them; None without a name.

        Without parents it may be anywhere in the tree. One that was renamed is then still known by its slug, if the
        slug is exactly the name.
        """
        path = (*parents, name)
        if path not in self._ids:
            self._ids[path] = await _find_or_create_path(self._connection, parents, name) if name else None
        return self._ids[path]

    async def read_name(self, category_id: UUID | None) -> str:
        """The name of a category; empty for None."""
        if category_id is None:
            return ""
        if category_id not in self._names:
            category = await categories.get(self._connection, category_id)
            self._names[category_id] = category.name if category else ""
        return self._names[category_id]


async def _find_or_create_path(connection: Connection, parents: Sequence[str], name: str) -> UUID:
    if not parents:
        return await _find(connection, name) or await _find_or_create(connection, name)
    above: UUID | None = None
    for part in parents:
        above = await _find_or_create_below(connection, above, part)
    return await _find_or_create_below(connection, above, name)


async def _find_or_create(connection: Connection, name: str) -> UUID:
    await categories.lock_tree(connection)
    return await _find(connection, name) or await _create(connection, None, name)


async def _find_or_create_below(connection: Connection, parent_id: UUID | None, name: str) -> UUID:
    if found := await categories.find_below(connection, parent_id, name):
        return found
    await categories.lock_tree(connection)
    found = await categories.find_below(connection, parent_id, name)
    return found or await _create(connection, parent_id, name)


async def _create(connection: Connection, parent_id: UUID | None, name: str) -> UUID:
    category_id, slug = new_id(), slugify(name, "category")
    if not await categories.insert(connection, category_id, slug, name, parent_id):
        await categories.insert(connection, category_id, make_unique(slug, category_id), name, parent_id)
    return category_id


async def _find(connection: Connection, name: str) -> UUID | None:
    found = await categories.find_by_name(connection, name)
    exact_slug = "-".join(name.lower().split())
    return found or (await categories.find_by_slug(connection, exact_slug) if slugify(name) == exact_slug else None)
