"""A product is found under the slugs that it had, unless a product on sale has them now."""

from typing import Any

import orjson
import pytest

from contracts import catalog
from contracts.catalog import Product
from contracts.failure import NotFound
from contracts.headers import MOVED_TO
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, usd
from tests.support.rpc import customer_identity


def new_slug() -> str:
    return f"lamp-{new_id().hex}"


async def create(client: CatalogClient, slug: str, **fields: Any) -> Product:
    body = {"name": "Lamp", "slug": slug, "sku": f"P-{new_id().hex}", "price": usd(500), **fields}
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def rename(client: CatalogClient, product: Product, slug: str) -> None:
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(product.id), "slug": slug})


async def find(client: CatalogClient, key: str) -> tuple[str, str | None]:
    """The id of the product that shoppers find, and the slug that they are sent to."""
    body, reply_headers = await client.edge.raw(catalog.GET_PRODUCT, {"key": key}, identity=customer_identity())
    (result,) = (await client.edge(catalog.GET_PRODUCTS, {"items": [{"key": key}]})).items
    moved_to = reply_headers.get(MOVED_TO)
    assert (result.product, result.moved_to) == (body.decode(), moved_to)
    return orjson.loads(body)["id"], moved_to


async def test_every_former_slug_leads_to_the_current_one(client: CatalogClient) -> None:
    first, second, third = new_slug(), new_slug(), new_slug()
    product = await create(client, first)
    await rename(client, product, second)
    replacement = {"name": "Lamp", "sku": product.variants[0].sku, "price": usd(500), "slug": third}
    await client.as_admin(catalog.REPLACE_PRODUCT, {**replacement, "id": str(product.id)})
    for old in (first, second):
        assert await find(client, old) == (str(product.id), third)
    assert await find(client, third) == (str(product.id), None)
    assert await find(client, str(product.id)) == (str(product.id), None)
    await rename(client, product, first)
    assert await find(client, first) == (str(product.id), None)
    for old in (second, third):
        assert await find(client, old) == (str(product.id), first)


async def test_a_product_that_has_the_slug_comes_first_while_it_is_on_sale(client: CatalogClient) -> None:
    slug, moved = new_slug(), new_slug()
    former = await create(client, slug)
    await rename(client, former, moved)
    current = await create(client, slug, status="draft")
    assert await find(client, slug) == (str(former.id), moved)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(current.id), "status": "active"})
    assert await find(client, slug) == (str(current.id), None)
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(current.id)})
    assert await find(client, slug) == (str(former.id), moved)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(current.id), "is_active": True})
    renamed = new_slug()
    await rename(client, current, renamed)
    assert await find(client, slug) == (str(current.id), renamed)


async def test_an_old_slug_does_not_tell_of_a_product_that_is_not_on_sale(client: CatalogClient) -> None:
    old, new = new_slug(), new_slug()
    product = await create(client, old)
    await rename(client, product, new)
    await client.as_admin(catalog.DEACTIVATE_PRODUCT, {"id": str(product.id)})
    for key in (old, new):
        with pytest.raises(NotFound):
            await client.edge(catalog.GET_PRODUCT, {"key": key})
    assert (await client.as_admin(catalog.GET_PRODUCT, {"key": new})).id == product.id
