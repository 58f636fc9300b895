"""What every handler of the cart service works with."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from uuid import UUID

from contracts import cart as contract
from infra.database.mongo import Mongo
from infra.foundation.batching import BatchLoader
from infra.foundation.ids import now
from infra.messaging.rpc_client import Reply, RpcClient
from services.cart.domain.carts import CartRecord, QuotesBySku
from services.cart.group_writer import MAX_GROUP_SIZE, GroupWriter
from services.cart.price_client import PriceClient
from services.cart.settings import CartSettings
from services.cart.store.carts import CartOrder, CartStore, WriteTime
from services.cart.store.grouped_writes import GroupedWrites
from services.cart.views import render_cart
from services.cart.write_cache import WriteCache


@dataclass(frozen=True, slots=True)
class CartDeps:
    """The cart's database, its clients of other services, its write cache and its settings."""

    mongo: Mongo
    rpc: RpcClient
    carts: CartStore
    prices: PriceClient
    write_cache: WriteCache
    group_writer: GroupWriter
    order_writer: BatchLoader[CartOrder, bool]
    """Empties the carts of orders that are applied together; True where that is known to have succeeded."""
    settings: CartSettings

    def write_time(self, user_id: UUID | None) -> WriteTime:
        """The time of a change, and when the cart expires after it.

        Each change restarts the cart's lifetime. The expiry is rounded up to a full hour, so that few changes touch
        the index on it.
        """
        days = self.settings.guest_cart_days if user_id is None else self.settings.customer_cart_days
        at = now()
        return WriteTime(at, at.replace(minute=0, second=0, microsecond=0) + timedelta(days=days, hours=1))

    def reply(self, cart: CartRecord, quotes: QuotesBySku) -> Reply[contract.Cart]:
        """The cart at current prices, with its version in a header."""
        return Reply(render_cart(cart, quotes, self.settings.currency), cart.version)


def build_deps(store: Mongo, rpc: RpcClient, settings: CartSettings) -> CartDeps:
    """Builds the dependencies from the connections of the process."""
    database = store.database
    prices, cache = PriceClient(rpc), WriteCache()
    carts = CartStore(database)
    return CartDeps(
        mongo=store,
        rpc=rpc,
        carts=carts,
        prices=prices,
        write_cache=cache,
        group_writer=GroupWriter(GroupedWrites(database), cache, prices),
        order_writer=BatchLoader(partial(_empty_carts, carts), max_batch_size=MAX_GROUP_SIZE, max_concurrent=1),
        settings=settings,
    )


async def _empty_carts(carts: CartStore, orders: Collection[CartOrder]) -> Mapping[CartOrder, bool]:
    return dict.fromkeys(orders, await carts.empty_for_orders(orders))
