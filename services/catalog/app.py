"""The catalog, put together."""

from functools import partial

from contracts import catalog, order, privacy
from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.background import Worker
from infra.foundation.batching import Together
from infra.messaging.consumer import Reaction
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Kit, Room, Service
from services.catalog.deps import CatalogSettings, Shop
from services.catalog.handlers import categories, holds, imports, products, stock
from services.catalog.handlers import events as orders
from services.catalog.handlers import (
    images as pictures,
)
from services.catalog.handlers import privacy as erasing
from services.catalog.handlers import queries as reading
from services.catalog.handlers import repair as repairing
from services.catalog.store.object_files import IMAGES, UPLOADS, Objects
from services.catalog.store.product_documents import Documents
from services.catalog.workers import import_runner as importing

MOST_TOGETHER, MOST_PAGES = 200, 10
"""Products and pages that are read in one go when many ask at once."""

ASKS: dict[AnyOperation, Handler] = {
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

REACTIONS: dict[type[Event], Reaction] = {
    order.OrderPaid: orders.order_paid,
    order.OrderCancelled: orders.order_cancelled,
}


def build(kit: Kit[CatalogSettings, Database]) -> Room:
    """The workers need the shop, and the shop's handlers wake them."""
    stock_keeper = Worker("stock keeper", lambda: holds.keep_stock(shop), every=1.0)
    importer = Worker("importer", lambda: importing.run_next(shop), every=1.0)
    uploads, images = Objects(kit.client, UPLOADS), Objects(kit.client, IMAGES)
    documents = Documents()
    found = Together(partial(reading.find, kit.store, documents), most=MOST_TOGETHER)
    pages = Together(partial(reading.turn, kit.store, documents), most=MOST_PAGES)
    shop = Shop(kit.store, uploads, images, found, pages, kit.settings, stock_keeper, importer)
    return Room(shop, ASKS, REACTIONS, workers=[stock_keeper, importer])


SERVICE = Service("catalog", CatalogSettings, connect, build)

if __name__ == "__main__":
    SERVICE.main()
