"""The cart service, composed."""

from collections.abc import Mapping
from functools import partial

from contracts import cart as contract
from contracts import privacy
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.order import OrderPlaced
from infra.database.mongo import Mongo, connect
from infra.messaging.consumer import Reaction
from infra.messaging.rpc_server import Handler
from infra.runtime.service import Kit, Room, Service
from services.cart.deps import CartSettings, Shop
from services.cart.handlers import carts as opening
from services.cart.handlers import events as ordered
from services.cart.handlers import items as changing
from services.cart.handlers import merge as joining
from services.cart.handlers import privacy as erasing
from services.cart.price_client import PriceDesk
from services.cart.store.carts import INDEXES, Carts
from services.cart.write_cache import Recent

ASKS: Mapping[AnyOperation, Handler] = {
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
REACTIONS: Mapping[type[Event], Reaction] = {OrderPlaced: ordered.order_placed}


def build(kit: Kit[CartSettings, Mongo]) -> Room:
    shop = Shop(kit.store, Carts(kit.store.database), PriceDesk(kit.asker), Recent(), kit.settings)
    return Room(shop, ASKS, REACTIONS)


SERVICE = Service("cart", CartSettings, partial(connect, indexes=INDEXES), build)

if __name__ == "__main__":
    SERVICE.main()
