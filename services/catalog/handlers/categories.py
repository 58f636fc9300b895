"""Reads and edits the category tree."""

from uuid import UUID

from contracts.catalog import Category, CategoryRef, CreateCategory, ReplaceCategory, SlugTaken
from contracts.failure import FieldError, InvalidCursor, NotFound
from contracts.model import Empty, ListPage, PageParams
from infra.database.postgres import Connection
from infra.foundation.ids import new_id
from infra.foundation.pagination import decode_cursor, encode_cursor, take_fitting
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.categories import refuse_cycle
from services.catalog.domain.slugs import make_unique, slugify
from services.catalog.store import categories


async def list_categories(deps: CatalogDeps, request: Request[PageParams]) -> ListPage[Category]:
    """Lists categories by name."""
    body = request.body
    async with deps.db.connection() as connection:
        found = await categories.list_page(connection, _decode_after(body), body.limit + 1)
    shown = take_fitting(found, body.limit)
    following = encode_cursor(shown[-1].name, str(shown[-1].id)) if len(found) > len(shown) else None
    return ListPage(items=shown, next=following)


async def get_category(deps: CatalogDeps, request: Request[CategoryRef]) -> Category:
    """Reads a category."""
    async with deps.db.connection() as connection:
        category = await categories.get(connection, request.body.id)
    if category is None:
        raise NotFound
    return category


async def create_category(deps: CatalogDeps, request: Request[CreateCategory]) -> Reply[Category]:
    """Creates a category. Without a slug in the request it gets one from its name."""
    async with deps.db.transaction(request) as tx:
        return tx.reply(await _insert(tx.connection, request.body))


async def replace_category(deps: CatalogDeps, request: Request[ReplaceCategory]) -> Reply[Category]:
    """Renames or moves a category."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        await categories.lock_tree(tx.connection)
        before = await categories.get(tx.connection, body.id)
        if before is None:
            raise NotFound
        if body.parent_id is not None:
            refuse_cycle(body.id, await categories.ancestors(tx.connection, body.parent_id))
        tx.audit_changes(before={"parent_id": before.parent_id})
        after = await categories.update(tx.connection, body.id, body.slug or before.slug, body.name, body.parent_id)
        return tx.reply(after)


async def delete_category(deps: CatalogDeps, request: Request[CategoryRef]) -> Reply[Empty]:
    """Deletes a category without products and without categories below it."""
    async with deps.db.transaction(request) as tx:
        if not await categories.delete(tx.connection, request.body.id):
            raise NotFound
        return tx.reply(Empty())


async def _insert(connection: Connection, body: CreateCategory) -> Category:
    category_id = new_id()
    slug = body.slug or slugify(body.name, "category")
    created = await categories.insert(connection, category_id, slug, body.name, body.parent_id)
    if created is None and body.slug is None:
        slug = make_unique(slug, category_id)
        created = await categories.insert(connection, category_id, slug, body.name, body.parent_id)
    if created is None:
        raise SlugTaken(errors=[FieldError(pointer="/slug", detail="Another category has this slug.")])
    return created


def _decode_after(body: PageParams) -> tuple[str, UUID] | None:
    if body.after is None:
        return None
    name, category_id = decode_cursor(body.after, str, UUID)
    if "\0" in name:
        raise InvalidCursor
    return name, category_id
