"""The cart service, composed."""

from collections.abc import Mapping
from functools import partial

from contracts import cart as contract
from contracts import privacy
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.order import OrderPlaced
from infra.database.mongo import Mongo, connect
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.cart.deps import CartDeps, CartSettings
from services.cart.handlers import carts as opening
from services.cart.handlers import events as ordered
from services.cart.handlers import items as changing
from services.cart.handlers import merge as joining
from services.cart.handlers import privacy as erasing
from services.cart.price_client import PriceClient
from services.cart.store.carts import INDEXES, CartStore
from services.cart.write_cache import WriteCache

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.CREATE: opening.create,
    contract.GET: opening.get,
    contract.ADD: changing.add,
    contract.SET: changing.set_item,
    contract.REMOVE: changing.remove,
    contract.CLEAR: changing.clear,
    contract.MERGE: joining.merge,
    contract.CHECKOUT: opening.checkout,
    privacy.ERASE[contract.SERVICE]: erasing.erase,
    privacy.EXPORT[contract.SERVICE]: erasing.export,
}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {OrderPlaced: ordered.order_placed}


def build(resources: Resources[CartSettings, Mongo]) -> ServiceParts:
    shop = CartDeps(
        resources.store,
        CartStore(resources.store.database),
        PriceClient(resources.rpc),
        WriteCache(),
        resources.settings,
    )
    return ServiceParts(shop, HANDLERS, EVENT_HANDLERS)


SERVICE = ServiceDefinition("cart", CartSettings, partial(connect, indexes=INDEXES), build)

if __name__ == "__main__":
    SERVICE.main()
