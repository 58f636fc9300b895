"""Composition root of the catalog: which function handles which operation and event, and the background tasks."""

from contracts import catalog, order
from contracts import privacy as privacy_contract
from contracts.catalog import price_operations
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.catalog.deps import build_deps
from services.catalog.handlers import (
    categories,
    events,
    exports,
    holds,
    images,
    imports,
    price_lists,
    privacy,
    products,
    queries,
    repair,
    reviews,
    stock,
    synonyms,
)
from services.catalog.settings import CatalogSettings
from services.catalog.store.database import CatalogDatabase, connect
from services.catalog.workers.hold_settler import settle_holds
from services.catalog.workers.import_runner import run_next_import
from services.catalog.workers.price_mover import move_prices
from services.catalog.workers.rating_ranker import rank_products
from services.catalog.workers.search_index_backfill import index_stale_rows

HANDLERS: dict[AnyOperation, Handler] = {
    catalog.LIST_PRODUCTS: queries.list_products,
    catalog.SEARCH_PRODUCTS: queries.search_products,
    catalog.SUGGEST: queries.suggest,
    catalog.GET_PRODUCT: queries.get_product,
    catalog.GET_PRODUCTS: queries.get_products,
    catalog.QUOTE: queries.quote,
    catalog.CREATE_PRODUCT: products.create_product,
    catalog.REPLACE_PRODUCT: products.replace_product,
    catalog.CHANGE_PRODUCT: products.change_product,
    catalog.DEACTIVATE_PRODUCT: products.deactivate_product,
    catalog.LIST_CATEGORIES: categories.list_categories,
    catalog.GET_CATEGORY: categories.get_category,
    catalog.CREATE_CATEGORY: categories.create_category,
    catalog.REPLACE_CATEGORY: categories.replace_category,
    catalog.DELETE_CATEGORY: categories.delete_category,
    catalog.GET_STOCK: stock.get_stock,
    catalog.LIST_STOCK: stock.list_stock,
    catalog.ADJUST_STOCK: stock.adjust_stock,
    catalog.LIST_STOCK_MOVEMENTS: stock.list_movements,
    catalog.IMPORT_INVENTORY: stock.import_inventory,
    catalog.HOLD: holds.hold,
    catalog.RELEASE: holds.release,
    catalog.REPAIR: repair.repair,
    catalog.START_IMPORT: imports.start_import,
    catalog.GET_IMPORT: imports.get_import,
    catalog.EXPORT_PRODUCTS: exports.export_products,
    catalog.ADD_IMAGE: images.add_image,
    catalog.CHANGE_IMAGE: images.change_image,
    catalog.DELETE_IMAGE: images.delete_image,
    catalog.GET_IMAGE: images.get_image,
    catalog.LIST_PRODUCT_REVIEWS: reviews.list_product_reviews,
    catalog.CREATE_REVIEW: reviews.create_review,
    catalog.LIST_REVIEWS: reviews.list_reviews,
    catalog.GET_REVIEW: reviews.get_review,
    catalog.REPLACE_REVIEW: reviews.replace_review,
    catalog.DELETE_REVIEW: reviews.delete_review,
    catalog.PUBLISH_REVIEW: reviews.publish_review,
    catalog.REJECT_REVIEW: reviews.reject_review,
    catalog.ANSWER_REVIEW: reviews.answer_review,
    catalog.GET_SYNONYMS: synonyms.get_synonyms,
    catalog.REPLACE_SYNONYMS: synonyms.replace_synonyms,
    price_operations.LIST_PRICE_LISTS: price_lists.list_price_lists,
    price_operations.GET_PRICE_LIST: price_lists.get_price_list,
    price_operations.CREATE_PRICE_LIST: price_lists.create_price_list,
    price_operations.REPLACE_PRICE_LIST: price_lists.replace_price_list,
    price_operations.DELETE_PRICE_LIST: price_lists.delete_price_list,
    price_operations.LIST_PRICES: price_lists.list_prices,
    price_operations.CREATE_PRICE: price_lists.create_price,
    price_operations.DELETE_PRICE: price_lists.delete_price,
    price_operations.LIST_PRICE_HISTORY: price_lists.list_price_history,
    privacy_contract.ERASE[catalog.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[catalog.SERVICE]: privacy.export,
}

EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    order.OrderPaid: events.order_paid,
    order.OrderCancelled: events.order_cancelled,
    order.OrderUnitsCancelled: events.order_units_cancelled,
}


def build(resources: Resources[CatalogSettings, CatalogDatabase]) -> ServiceParts:
    """Assembles the service from its database and connections."""
    deps = build_deps(
        resources,
        settle_holds=settle_holds,
        run_next_import=run_next_import,
        index_search=index_stale_rows,
        rank_products=rank_products,
        move_prices=move_prices,
    )
    workers = [deps.hold_settler, deps.import_worker, deps.search_indexer, deps.rating_ranker, deps.price_mover]
    return ServiceParts(deps, workers=workers)


SERVICE = ServiceDefinition("catalog", CatalogSettings, connect, build, HANDLERS, EVENT_HANDLERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
