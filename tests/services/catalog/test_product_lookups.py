"""Several products in one request: each is what a request for it alone would get."""

from typing import Any

import orjson
import pytest

from contracts import catalog
from contracts.catalog import Product, ProductResults
from contracts.failure import InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.size_limits import MAX_REPLY_BYTES
from infra.foundation.ids import new_id
from tests.services.catalog.conftest import CatalogClient, usd
from tests.support.rpc import customer_identity


async def create(client: CatalogClient, **fields: Any) -> Product:
    body = {"name": f"Lamp {new_id().hex}", "sku": f"P-{new_id().hex}", "price": usd(500), "stock": 5, **fields}
    product: Product = await client.as_admin(catalog.CREATE_PRODUCT, body)
    return product


async def read(client: CatalogClient, *keys: str, identity: Identity | None = None) -> ProductResults:
    body = {"items": [{"key": key} for key in keys]}
    results: ProductResults = await client.edge(catalog.GET_PRODUCTS, body, identity=identity)
    return results


async def test_results_are_in_order_and_byte_for_byte_those_of_single_requests(client: CatalogClient) -> None:
    lamp = await create(client, name=f'Café "lamp" {new_id().hex}')
    other = await create(client)
    keys = [other.slug, str(lamp.id), lamp.slug, str(lamp.id).upper()]
    results = (await read(client, *keys)).items
    for key, result in zip(keys, results, strict=True):
        body, reply_headers = await client.edge.raw(catalog.GET_PRODUCT, {"key": key})
        assert result.product is not None
        assert (result.product.encode(), str(result.version)) == (body, reply_headers["Souk-Version"])


async def test_a_missing_product_leaves_the_others_as_they_are(client: CatalogClient) -> None:
    lamp = await create(client)
    found, missing, again = (await read(client, lamp.slug, "no-such-lamp", lamp.slug)).items
    assert missing.failure == NotFound().to_problem()
    assert found == again
    assert orjson.loads(found.product or "")["id"] == str(lamp.id)


async def test_only_administrators_see_a_product_off_sale(client: CatalogClient) -> None:
    lamp = await create(client)
    await client.as_admin(catalog.CHANGE_PRODUCT, {"id": str(lamp.id), "is_active": False})
    for identity in (None, customer_identity()):
        (result,) = (await read(client, lamp.slug, identity=identity)).items
        assert (result.product, result.failure) == (None, NotFound().to_problem())
    (result,) = (await read(client, str(lamp.id), identity=client.admin)).items
    assert result.failure is None


async def test_what_does_not_fit_into_a_reply_is_left_out(client: CatalogClient) -> None:
    large = await create(client, description="x" * 20_000)
    results = (await read(client, *[large.slug] * catalog.MAX_PRODUCT_LOOKUPS)).items
    assert MAX_REPLY_BYTES // 30_000 < len(results) < catalog.MAX_PRODUCT_LOOKUPS
    assert all(result.product for result in results)


async def test_the_number_of_products_is_limited(client: CatalogClient) -> None:
    for count in (0, catalog.MAX_PRODUCT_LOOKUPS + 1):
        with pytest.raises(InvalidRequest):
            await read(client, *["lamp"] * count)
