"""Sample requests of the catalog's operations."""

from typing import Any

from contracts import catalog
from contracts.access import CallerKind
from contracts.catalog import price_operations
from contracts.operation import AnyOperation
from edge.openapi.request_examples import REQUEST_EXAMPLES
from infra.foundation.ids import new_id
from tests.access.fixtures import AccessFixtures
from tests.access.sample_request import USD, RequestFactory, SampleRequest, named, plain


def product_body() -> dict[str, Any]:
    return {"name": "Brass lamp", "sku": f"A-{new_id().hex}", "price": USD, "stock": 5}


async def _create_product(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body=product_body())


async def _replace_product(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest({"id": await fixtures.create_product()}, product_body())


async def _create_review(fixtures: AccessFixtures, caller: CallerKind) -> SampleRequest:
    product_id = await fixtures.buy_product(fixtures.customer_for(caller) or fixtures.owner)
    return SampleRequest({"id": product_id}, REQUEST_EXAMPLES[catalog.CREATE_REVIEW])


async def _create_price(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    product = await fixtures.new_product()
    return SampleRequest({"id": str(product.id)}, {"sku": product.variants[0].sku, "price": USD, "min_quantity": 10})


def _review(operation: AnyOperation) -> RequestFactory:
    return named(AccessFixtures.create_review, REQUEST_EXAMPLES.get(operation))


async def _create_category(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body={"name": f"Lamps {new_id().hex}"})


async def _image(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    image = await fixtures.create_product_image()
    return SampleRequest({"image_id": image["image_id"], "width": "160"})


CATALOG_REQUESTS: dict[AnyOperation, RequestFactory] = {
    catalog.LIST_PRODUCTS: plain(query="?limit=1"),
    catalog.SEARCH_PRODUCTS: plain(query="?q=lamp&limit=1"),
    catalog.SUGGEST: plain(query="?q=lamp"),
    catalog.GET_PRODUCT: named(AccessFixtures.create_product, name="key"),
    catalog.CREATE_PRODUCT: _create_product,
    catalog.REPLACE_PRODUCT: _replace_product,
    catalog.CHANGE_PRODUCT: named(
        AccessFixtures.create_product, {"name": "Brass lamp, large", "description": "Hand-chased."}
    ),
    catalog.DEACTIVATE_PRODUCT: named(AccessFixtures.create_product),
    catalog.ADD_IMAGE: named(AccessFixtures.create_product),
    catalog.CHANGE_IMAGE: named(AccessFixtures.create_product_image, REQUEST_EXAMPLES[catalog.CHANGE_IMAGE]),
    catalog.DELETE_IMAGE: named(AccessFixtures.create_product_image),
    catalog.GET_IMAGE: _image,
    catalog.START_IMPORT: plain(),
    catalog.EXPORT_PRODUCTS: plain(query="?dialect=legacy"),
    catalog.GET_IMPORT: named(AccessFixtures.start_import),
    catalog.LIST_PRODUCT_REVIEWS: named(AccessFixtures.create_product),
    catalog.CREATE_REVIEW: _create_review,
    catalog.LIST_REVIEWS: plain(query="?limit=1"),
    **{
        operation: _review(operation)
        for operation in (
            catalog.GET_REVIEW,
            catalog.REPLACE_REVIEW,
            catalog.DELETE_REVIEW,
            catalog.PUBLISH_REVIEW,
            catalog.REJECT_REVIEW,
            catalog.ANSWER_REVIEW,
        )
    },
    price_operations.LIST_PRICE_LISTS: plain(query="?limit=1"),
    price_operations.GET_PRICE_LIST: named(AccessFixtures.create_price_list),
    price_operations.CREATE_PRICE_LIST: plain(REQUEST_EXAMPLES[price_operations.CREATE_PRICE_LIST]),
    price_operations.REPLACE_PRICE_LIST: named(AccessFixtures.create_price_list, {"name": "Winter sale"}),
    price_operations.DELETE_PRICE_LIST: named(AccessFixtures.create_price_list),
    price_operations.LIST_PRICES: named(AccessFixtures.create_product),
    price_operations.CREATE_PRICE: _create_price,
    price_operations.DELETE_PRICE: named(AccessFixtures.create_price),
    price_operations.LIST_PRICE_HISTORY: named(AccessFixtures.create_product),
    catalog.GET_SYNONYMS: plain(),
    catalog.REPLACE_SYNONYMS: plain({"groups": []}),
    catalog.LIST_CATEGORIES: plain(query="?limit=1"),
    catalog.GET_CATEGORY: named(AccessFixtures.create_category),
    catalog.CREATE_CATEGORY: _create_category,
    catalog.REPLACE_CATEGORY: named(AccessFixtures.create_category, {"name": "Lamps and lanterns"}),
    catalog.DELETE_CATEGORY: named(AccessFixtures.create_category),
    catalog.LIST_STOCK: plain(query="?limit=1"),
    catalog.GET_STOCK: named(AccessFixtures.create_sku, name="sku"),
    catalog.ADJUST_STOCK: named(AccessFixtures.create_sku, {"delta": 5, "reason": "delivery"}, name="sku"),
    catalog.LIST_STOCK_MOVEMENTS: named(AccessFixtures.create_sku, name="sku"),
    catalog.IMPORT_INVENTORY: plain(),
}
