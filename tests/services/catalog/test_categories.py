"""The category tree."""

import asyncio
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Category, CategoryCycle, CategoryInUse, CategoryUnknown, SlugTaken
from contracts.failure import InvalidCursor, NotFound
from infra.foundation.ids import new_id
from services.catalog.domain.folded_text import name_key
from tests.services.catalog.conftest import CatalogClient, usd


async def create(client: CatalogClient, name: str | None = None, **fields: Any) -> Category:
    category: Category = await client.as_admin(catalog.CREATE_CATEGORY, {"name": name or f"C {new_id().hex}", **fields})
    return category


async def test_slugs_are_unique(client: CatalogClient) -> None:
    name = f"Brass & Glass {new_id().hex}"
    first, second = await create(client, name), await create(client, name)
    assert first.slug.startswith("brass-glass-")
    assert second.slug.startswith(first.slug)
    assert first.slug != second.slug
    assert await client.edge(catalog.GET_CATEGORY, {"id": str(first.id)}) == first
    with pytest.raises(SlugTaken):
        await create(client, slug=first.slug)
    with pytest.raises(SlugTaken):
        await client.as_admin(catalog.REPLACE_CATEGORY, {"id": str(second.id), "name": "x", "slug": first.slug})


async def test_a_category_cannot_be_below_itself(client: CatalogClient) -> None:
    top = await create(client)
    middle = await create(client, parent_id=str(top.id))
    bottom = await create(client, parent_id=str(middle.id))
    for parent in (top, middle, bottom):
        with pytest.raises(CategoryCycle):
            await client.as_admin(
                catalog.REPLACE_CATEGORY, {"id": str(top.id), "name": "x", "parent_id": str(parent.id)}
            )
    moved = await client.as_admin(
        catalog.REPLACE_CATEGORY, {"id": str(bottom.id), "name": "Moved", "parent_id": str(top.id)}
    )
    assert (moved.parent_id, moved.name, moved.slug) == (top.id, "Moved", bottom.slug)


async def test_concurrent_moves_make_no_cycle(client: CatalogClient) -> None:
    one, other = await create(client), await create(client)
    moves = [(one, other), (other, one)]
    outcomes = await asyncio.gather(
        *(
            client.as_admin(catalog.REPLACE_CATEGORY, {"id": str(a.id), "name": "x", "parent_id": str(b.id)})
            for a, b in moves
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, CategoryCycle) for outcome in outcomes) == 1


async def test_a_category_in_use_cannot_be_deleted(client: CatalogClient) -> None:
    parent = await create(client)
    child = await create(client, parent_id=str(parent.id))
    product = {"name": "x", "sku": f"C-{new_id().hex}", "price": usd(1), "category_id": str(child.id)}
    created = await client.as_admin(catalog.CREATE_PRODUCT, product)
    for category in (parent, child):
        with pytest.raises(CategoryInUse):
            await client.as_admin(catalog.DELETE_CATEGORY, {"id": str(category.id)})
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(created.id), "category_id": None})
    for category in (child, parent):
        await client.as_admin(catalog.DELETE_CATEGORY, {"id": str(category.id)})
        with pytest.raises(NotFound):
            await client.edge(catalog.GET_CATEGORY, {"id": str(category.id)})
    with pytest.raises(NotFound):
        await client.as_admin(catalog.DELETE_CATEGORY, {"id": str(parent.id)})


async def test_products_show_the_new_slug_of_their_category(client: CatalogClient) -> None:
    category = await create(client)
    body = {"name": "x", "sku": f"C-{new_id().hex}", "price": usd(1), "category_id": str(category.id)}
    product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    slug = f"new-{new_id().hex}"
    await client.as_admin(catalog.REPLACE_CATEGORY, {"id": str(category.id), "name": "New", "slug": slug})
    assert (await client.edge(catalog.GET_PRODUCT, {"key": str(product.id)})).category == slug


async def test_refuses_an_unknown_parent(client: CatalogClient) -> None:
    with pytest.raises(CategoryUnknown):
        await create(client, parent_id=str(new_id()))
    category = await create(client)
    with pytest.raises(CategoryUnknown):
        await client.as_admin(
            catalog.REPLACE_CATEGORY, {"id": str(category.id), "name": "x", "parent_id": str(new_id())}
        )
    with pytest.raises(NotFound):
        await client.as_admin(catalog.REPLACE_CATEGORY, {"id": str(new_id()), "name": "x"})


async def test_lists_categories_by_name_in_pages(client: CatalogClient) -> None:
    created = [(await create(client)).id for _ in range(5)]
    found: list[Category] = []
    after = None
    while True:
        page = await client.edge(catalog.LIST_CATEGORIES, {"limit": 2, "after": after})
        found += page.items
        after = page.next
        if after is None:
            break
    ids = [category.id for category in found]
    assert set(created) <= set(ids)
    assert len(ids) == len(set(ids))
    names = [category.name for category in found]
    assert names == sorted(names, key=name_key)
    with pytest.raises(InvalidCursor):
        await client.edge(catalog.LIST_CATEGORIES, {"after": "e30"})
