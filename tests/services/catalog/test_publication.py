"""Drafts and scheduled products: only administrators see them until they are published, by their time or at once."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts import catalog
from contracts.catalog import Product, SkuTaken, SkuUnknown, SlugTaken
from contracts.failure import Forbidden, InvalidRequest, NotFound
from infra.foundation.ids import new_id, now
from tests.services.catalog.conftest import CatalogClient, line, usd
from tests.support.eventually import eventually
from tests.support.rpc import customer_identity

FUTURE, PAST = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


async def create(client: CatalogClient, word: str, **fields: Any) -> Product:
    body = {"name": f"Lamp {word}", "sku": f"P-{word}", "price": usd(500), "stock": 5, "tags": [word], **fields}
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def change(client: CatalogClient, product: Product, **fields: Any) -> Product:
    changed: Product = await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), **fields})
    return changed


async def places(client: CatalogClient, product: Product) -> set[str]:
    """Where shoppers meet the product."""
    (word,) = product.tags
    (sku,) = (variant.sku for variant in product.variants)
    found = set()
    for key in (str(product.id), product.slug):
        try:
            await client.edge(catalog.GET_PRODUCT, {"key": key}, identity=customer_identity())
        except NotFound:
            continue
        found.add("details")
    lists = {"tag": {"tag": word}, "text": {"q": word}, "filters": {"tag": word, "in_stock": True, "sort": "price"}}
    for name, filters in lists.items():
        if (await client.edge(catalog.LIST_PRODUCTS, filters)).items:
            found.add(name)
        searched = await client.edge(catalog.SEARCH_PRODUCTS, filters)
        tags = [item.value for item in searched.facets["tag"]]  # a filter by tag is not one of this facet
        others = [items for facet, items in searched.facets.items() if facet != "tag" and items]
        if searched.items or others or word in tags:
            found.add(f"facets of {name}")
    if (await client.edge(catalog.SUGGEST, {"q": f"lamp {word}"})).items:
        found.add("suggestions")
    if (await client.cart(catalog.QUOTE, {"skus": [sku]})).items:
        found.add("quotes")
    for name, requested in (("hold", line(sku, 1)), ("hold of id", {"product_id": str(product.id), "quantity": 1})):
        try:
            await client.hold(requested)
        except SkuUnknown:
            continue
        found.add(name)
    return found


EVERYWHERE = {"details", "tag", "text", "filters", "suggestions", "quotes", "hold", "hold of id"} | {
    f"facets of {name}" for name in ("tag", "text", "filters")
}


@pytest.mark.parametrize(
    "fields", [{"status": "draft"}, {"publish_at": FUTURE}, {"status": "draft", "publish_at": FUTURE}], ids=str
)
async def test_shoppers_do_not_meet_a_draft_until_it_is_published(
    client: CatalogClient, fields: dict[str, Any]
) -> None:
    product = await create(client, f"w{new_id().hex}", **fields)
    assert product.status == "draft"
    assert (product.publish_at is None) == ("publish_at" not in fields)
    assert await places(client, product) == set()
    published = await change(client, product, status="active")
    assert (published.status, published.publish_at) == ("active", None)
    assert await places(client, product) == EVERYWHERE
    assert (await change(client, product, status="draft")).status == "draft"
    assert await places(client, product) == set()


async def test_a_scheduled_product_is_on_sale_from_its_time_on(
    client: CatalogClient, database: Callable[[str], Awaitable[Any]]
) -> None:
    word = f"w{new_id().hex}"
    at = now() + timedelta(seconds=0.5)
    product = await create(client, word, publish_at=at.isoformat())
    assert (product.status, product.publish_at) == ("draft", at)
    assert await places(client, product) <= EVERYWHERE
    connection = await database("catalog")

    async def has_come() -> datetime:
        moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
        assert moment > at
        return moment

    await eventually(has_come)
    assert await places(client, product) == EVERYWHERE
    current = await client.edge(catalog.GET_PRODUCT, {"key": product.slug})
    assert (current.status, current.publish_at, current.is_active) == ("active", at, True)


async def test_a_draft_has_its_slug_and_its_sku(client: CatalogClient) -> None:
    word = f"w{new_id().hex}"
    draft = await create(client, word, slug=word, status="draft")
    with pytest.raises(SlugTaken):
        await create(client, f"w{new_id().hex}", slug=word)
    with pytest.raises(SkuTaken):
        await create(client, f"w{new_id().hex}", sku=f"P-{word}")
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(draft.id)})
    await create(client, word, slug=word)


@pytest.mark.parametrize(
    ("before", "fields", "after"),
    [
        ({"status": "draft"}, {"name": "x"}, "draft"),
        ({"status": "draft"}, {"publish_at": None}, "draft"),
        ({"status": "draft"}, {"publish_at": FUTURE}, "draft"),
        ({"status": "draft"}, {"publish_at": PAST}, "active"),
        ({"status": "draft"}, {"status": "inactive"}, "inactive"),
        ({"status": "draft"}, {"status": "active", "publish_at": FUTURE}, "draft"),
        ({"publish_at": FUTURE}, {"publish_at": None}, "draft"),
        ({"publish_at": FUTURE}, {"status": "active"}, "active"),
        ({"publish_at": PAST}, {"publish_at": None}, "active"),
        ({"publish_at": PAST}, {"status": "draft"}, "draft"),
        ({}, {"publish_at": FUTURE}, "draft"),
        ({"status": "inactive"}, {"name": "x"}, "inactive"),
        ({"status": "inactive"}, {"is_active": True}, "active"),
        ({"status": "inactive"}, {"status": "draft"}, "draft"),
    ],
    ids=str,
)
async def test_what_a_change_does_to_the_status(
    client: CatalogClient, before: dict[str, Any], fields: dict[str, Any], after: str
) -> None:
    product = await create(client, f"w{new_id().hex}", **before)
    assert (await change(client, product, **fields)).status == after


async def test_a_replacement_that_does_not_mention_it_leaves_a_draft_a_draft(client: CatalogClient) -> None:
    word = f"w{new_id().hex}"
    product = await create(client, word, publish_at=FUTURE)
    body = {"id": str(product.id), "name": "Lamp", "sku": f"P-{word}", "price": usd(500)}
    replaced = await client.as_admin(catalog.REPLACE_PRODUCT, body)
    assert (replaced.status, replaced.publish_at) == ("draft", product.publish_at)
    replaced = await client.as_admin(catalog.REPLACE_PRODUCT, {**body, "status": "active"})
    assert replaced.status == "active"
    with pytest.raises(InvalidRequest) as refused:
        await client.as_admin(catalog.REPLACE_PRODUCT, {**body, "status": "active", "is_active": False})
    assert refused.value.errors[0].pointer == "/status"


async def test_only_administrators_list_products_by_status(client: CatalogClient) -> None:
    word = f"w{new_id().hex}"
    by_status = {
        status: await create(client, word, sku=f"P-{new_id().hex}", status=status)
        for status in ("draft", "active", "inactive")
    }
    for operation in (catalog.LIST_PRODUCTS, catalog.SEARCH_PRODUCTS):
        for status, product in by_status.items():
            for filters in ({"tag": word}, {"q": word}, {"tag": word, "sort": "name"}):
                request = {**filters, "status": status}
                found = await client.as_admin(operation, request)
                assert [(item.id, item.status) for item in found.items] == [(product.id, status)]
                for identity in (None, customer_identity()):
                    with pytest.raises(Forbidden):
                        await client.edge(operation, request, identity=identity)
