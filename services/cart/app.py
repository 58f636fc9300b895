"""Composition root of the cart service: which function handles which operation and event."""

from collections.abc import Mapping
from functools import partial

from contracts import cart as contract
from contracts import privacy as privacy_contract
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.order import OrderPaid, OrderPlaced
from infra.database.mongo import Mongo, connect
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from services.cart.deps import build_deps
from services.cart.handlers import carts, coupons, events, items, merge, privacy
from services.cart.settings import CartSettings
from services.cart.store.carts import INDEXES

HANDLERS: Mapping[AnyOperation, Handler] = {
    contract.CREATE: carts.create,
    contract.GET: carts.get,
    contract.ADD: items.add,
    contract.SET: items.set_item,
    contract.REMOVE: items.remove,
    contract.CLEAR: items.clear,
    contract.SET_COUPON: coupons.set_coupon,
    contract.REMOVE_COUPON: coupons.remove_coupon,
    contract.MERGE: merge.merge,
    contract.CHECKOUT: carts.checkout,
    privacy_contract.ERASE[contract.SERVICE]: privacy.erase,
    privacy_contract.EXPORT[contract.SERVICE]: privacy.export,
}
EVENT_HANDLERS: Mapping[type[Event], EventHandler] = {
    OrderPaid: events.order_paid,
    OrderPlaced: events.order_placed,  # no subscription any more: only what an older release has left behind
}


def build(resources: Resources[CartSettings, Mongo]) -> ServiceParts:
    """Assembles the service from its database and connections."""
    return ServiceParts(build_deps(resources.store, resources.rpc, resources.settings))


SERVICE = ServiceDefinition("cart", CartSettings, partial(connect, indexes=INDEXES), build, HANDLERS, EVENT_HANDLERS)
app = SERVICE.application()

if __name__ == "__main__":
    SERVICE.main()
