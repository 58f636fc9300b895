"""The catalog, put together."""

from functools import partial

from contracts import catalog, order, privacy
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import PeriodicTask
from infra.foundation.batching import BatchLoader
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.catalog.deps import CatalogDeps, CatalogSettings
from services.catalog.handlers import categories, holds, imports, products, stock
from services.catalog.handlers import events as orders
from services.catalog.handlers import (
    images as pictures,
)
from services.catalog.handlers import privacy as erasing
from services.catalog.handlers import queries as reading
from services.catalog.handlers import repair as repairing
from services.catalog.store.object_files import IMAGES, UPLOADS, ObjectBucket
from services.catalog.store.product_documents import ProductDocumentCache
from services.catalog.workers import import_runner as importing

PRODUCT_BATCH_SIZE, PAGE_BATCH_SIZE = 200, 10
"""Products and pages that are read in one go when many ask at once."""

HANDLERS: dict[AnyOperation, Handler] = {
    catalog.LIST_PRODUCTS: reading.list_products,
    catalog.SEARCH_PRODUCTS: reading.search_products,
    catalog.SUGGEST: reading.suggest,
    catalog.GET_PRODUCT: reading.get_product,
    catalog.QUOTE: reading.quote,
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
    catalog.HOLD: holds.hold,
    catalog.RELEASE: holds.release,
    catalog.REPAIR: repairing.repair,
    catalog.START_IMPORT: imports.start_import,
    catalog.GET_IMPORT: imports.get_import,
    catalog.ADD_IMAGE: pictures.add_image,
    catalog.GET_IMAGE: pictures.get_image,
    privacy.ERASE[catalog.SERVICE]: erasing.erase,
    privacy.EXPORT[catalog.SERVICE]: erasing.export,
}

EVENT_HANDLERS: dict[type[Event], EventHandler] = {
    order.OrderPaid: orders.order_paid,
    order.OrderCancelled: orders.order_cancelled,
}


def build(resources: Resources[CatalogSettings, Database]) -> ServiceParts:
    """The workers need the shop, and the shop's handlers wake them."""
    stock_keeper = PeriodicTask("stock keeper", lambda: holds.settle_holds(shop), interval_seconds=1.0)
    importer = PeriodicTask("importer", lambda: importing.run_next_import(shop), interval_seconds=1.0)
    uploads, images = ObjectBucket(resources.nats, UPLOADS), ObjectBucket(resources.nats, IMAGES)
    documents = ProductDocumentCache()
    found = BatchLoader(partial(reading.load_products, resources.store, documents), max_batch_size=PRODUCT_BATCH_SIZE)
    pages = BatchLoader(partial(reading.load_pages, resources.store, documents), max_batch_size=PAGE_BATCH_SIZE)
    shop = CatalogDeps(resources.store, uploads, images, found, pages, resources.settings, stock_keeper, importer)
    return ServiceParts(shop, HANDLERS, EVENT_HANDLERS, workers=[stock_keeper, importer])


SERVICE = ServiceDefinition("catalog", CatalogSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
