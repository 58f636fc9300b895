"""The category tree."""

import asyncio
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Category, CategoryCycle, CategoryInUse, CategoryUnknown, SlugTaken
from contracts.failure import InvalidCursor, NotFound
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, usd


async def create(shelf: CatalogClient, name: str | None = None, **more: Any) -> Category:
    category: Category = await shelf.as_admin(catalog.CREATE_CATEGORY, {"name": name or f"C {new_id().hex}", **more})
    return category


async def test_categories_have_slugs_of_their_own(shelf: CatalogClient) -> None:
    name = f"Brass & Glass {new_id().hex}"
    first, second = await create(shelf, name), await create(shelf, name)
    assert first.slug.startswith("brass-glass-")
    assert second.slug.startswith(first.slug)
    assert first.slug != second.slug
    assert await shelf.edge(catalog.GET_CATEGORY, {"id": str(first.id)}) == first
    with pytest.raises(SlugTaken):
        await create(shelf, slug=first.slug)
    with pytest.raises(SlugTaken):
        await shelf.as_admin(catalog.REPLACE_CATEGORY, {"id": str(second.id), "name": "x", "slug": first.slug})


async def test_a_category_cannot_stand_below_itself(shelf: CatalogClient) -> None:
    top = await create(shelf)
    middle = await create(shelf, parent_id=str(top.id))
    bottom = await create(shelf, parent_id=str(middle.id))
    for parent in (top, middle, bottom):
        with pytest.raises(CategoryCycle):
            await shelf.as_admin(
                catalog.REPLACE_CATEGORY, {"id": str(top.id), "name": "x", "parent_id": str(parent.id)}
            )
    moved = await shelf.as_admin(
        catalog.REPLACE_CATEGORY, {"id": str(bottom.id), "name": "Moved", "parent_id": str(top.id)}
    )
    assert (moved.parent_id, moved.name, moved.slug) == (top.id, "Moved", bottom.slug)


async def test_two_moves_at_once_make_no_cycle(shelf: CatalogClient) -> None:
    one, other = await create(shelf), await create(shelf)
    moves = [(one, other), (other, one)]
    outcomes = await asyncio.gather(
        *(
            shelf.as_admin(catalog.REPLACE_CATEGORY, {"id": str(a.id), "name": "x", "parent_id": str(b.id)})
            for a, b in moves
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, CategoryCycle) for outcome in outcomes) == 1


async def test_a_category_in_use_stays(shelf: CatalogClient) -> None:
    parent = await create(shelf)
    child = await create(shelf, parent_id=str(parent.id))
    product = {"name": "x", "sku": f"C-{new_id().hex}", "price": usd(1), "category_id": str(child.id)}
    made = await shelf.as_admin(catalog.CREATE_PRODUCT, product)
    for category in (parent, child):
        with pytest.raises(CategoryInUse):
            await shelf.as_admin(catalog.DELETE_CATEGORY, {"id": str(category.id)})
    await shelf.as_admin(catalog.CHANGE_PRODUCT, {"id": str(made.id), "category_id": None})
    for category in (child, parent):
        await shelf.as_admin(catalog.DELETE_CATEGORY, {"id": str(category.id)})
        with pytest.raises(NotFound):
            await shelf.edge(catalog.GET_CATEGORY, {"id": str(category.id)})
    with pytest.raises(NotFound):
        await shelf.as_admin(catalog.DELETE_CATEGORY, {"id": str(parent.id)})


async def test_a_new_slug_is_seen_on_its_products(shelf: CatalogClient) -> None:
    category = await create(shelf)
    said = {"name": "x", "sku": f"C-{new_id().hex}", "price": usd(1), "category_id": str(category.id)}
    product = await shelf.as_admin(catalog.CREATE_PRODUCT, said)
    slug = f"new-{new_id().hex}"
    await shelf.as_admin(catalog.REPLACE_CATEGORY, {"id": str(category.id), "name": "New", "slug": slug})
    assert (await shelf.edge(catalog.GET_PRODUCT, {"key": str(product.id)})).category == slug


async def test_parents_must_be_there(shelf: CatalogClient) -> None:
    with pytest.raises(CategoryUnknown):
        await create(shelf, parent_id=str(new_id()))
    category = await create(shelf)
    with pytest.raises(CategoryUnknown):
        await shelf.as_admin(
            catalog.REPLACE_CATEGORY, {"id": str(category.id), "name": "x", "parent_id": str(new_id())}
        )
    with pytest.raises(NotFound):
        await shelf.as_admin(catalog.REPLACE_CATEGORY, {"id": str(new_id()), "name": "x"})


async def test_the_list_goes_on_by_name(shelf: CatalogClient) -> None:
    made = [(await create(shelf)).id for _ in range(5)]
    found: list[Category] = []
    after = None
    while True:
        page = await shelf.edge(catalog.LIST_CATEGORIES, {"limit": 2, "after": after})
        found += page.items
        after = page.next
        if after is None:
            break
    ids = [category.id for category in found]
    assert set(made) <= set(ids)
    assert len(ids) == len(set(ids))
    assert [category.name.lower() for category in found] == sorted(category.name.lower() for category in found)
    with pytest.raises(InvalidCursor):
        await shelf.edge(catalog.LIST_CATEGORIES, {"after": "e30"})
