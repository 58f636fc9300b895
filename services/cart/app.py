"""The cart service, composed."""

from collections.abc import Mapping
from functools import partial

from contracts import cart as contract
from contracts import privacy
from contracts.event import Event
from contracts.operation import AnyOperation
from contracts.order import OrderPlaced
from infra.actor import Handler
from infra.mongo import Mongo, connect
from infra.reactor import Reaction
from infra.run import Kit, Room, Service
from services.cart.handlers import changing, erasing, joining, opening, ordered
from services.cart.quotes import PriceDesk
from services.cart.recent import Recent
from services.cart.shop import CartSettings, Shop
from services.cart.store import INDEXES, Carts

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
