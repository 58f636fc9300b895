"""The category tree, kept by administrators."""

from uuid import UUID

from contracts.catalog import Category, CategoryRef, CreateCategory, ReplaceCategory, SlugTaken
from contracts.failure import FieldError, InvalidCursor, NotFound
from contracts.model import Empty, ListPage, PageParams
from infra.database.postgres import Connection
from infra.foundation import pagination as cursor
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.categories import refuse_cycle
from services.catalog.domain.slugs import make_unique, slugify
from services.catalog.store import categories


async def list_categories(shop: CatalogDeps, ask: Request[PageParams]) -> ListPage[Category]:
    body = ask.body
    async with shop.db.connection() as connection:
        found = await categories.list_page(connection, _after(body), body.limit + 1)
    shown = found[: body.limit]
    following = cursor.encode_cursor(*shown[-1][1]) if len(found) > body.limit else None
    return ListPage(items=[category for category, _ in shown], next=following)


async def get_category(shop: CatalogDeps, ask: Request[CategoryRef]) -> Category:
    async with shop.db.connection() as connection:
        category = await categories.get(connection, ask.body.id)
    if category is None:
        raise NotFound
    return category


async def create_category(shop: CatalogDeps, ask: Request[CreateCategory]) -> Reply[Category]:
    async with shop.db.transaction(ask) as tx:
        return tx.reply(await _insert(tx.connection, ask.body))


async def replace_category(shop: CatalogDeps, ask: Request[ReplaceCategory]) -> Reply[Category]:
    body = ask.body
    async with shop.db.transaction(ask) as tx:
        await categories.lock_tree(tx.connection)
        before = await categories.get(tx.connection, body.id)
        if before is None:
            raise NotFound
        if body.parent_id is not None:
            refuse_cycle(body.id, await categories.ancestors(tx.connection, body.parent_id))
        tx.audit_changes(before={"parent_id": before.parent_id})
        after = await categories.update(tx.connection, body.id, body.slug or before.slug, body.name, body.parent_id)
        return tx.reply(after)


async def delete_category(shop: CatalogDeps, ask: Request[CategoryRef]) -> Reply[Empty]:
    async with shop.db.transaction(ask) as tx:
        if not await categories.delete(tx.connection, ask.body.id):
            raise NotFound
        return tx.reply(Empty())


async def _insert(connection: Connection, body: CreateCategory) -> Category:
    category_id = new_id()
    slug = body.slug or slugify(body.name, "category")
    made = await categories.insert(connection, category_id, slug, body.name, body.parent_id)
    if made is None and body.slug is None:
        made = await categories.insert(
            connection, category_id, make_unique(slug, category_id), body.name, body.parent_id
        )
    if made is None:
        raise SlugTaken(errors=[FieldError(pointer="/slug", detail="belongs to another category")])
    return made


def _after(body: PageParams) -> tuple[str, UUID] | None:
    if body.after is None:
        return None
    name, category_id = cursor.decode_cursor(body.after, str, UUID)
    if "\0" in name:
        raise InvalidCursor
    return name, category_id
