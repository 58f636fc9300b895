"""What every handler of the cart service works with."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts import cart as contract
from infra.database.mongo import Mongo
from infra.foundation.ids import now
from infra.messaging.rpc import Reply
from infra.runtime.service import Resources
from services.cart.domain.carts import CartRecord, QuotesBySku
from services.cart.price_client import PriceClient
from services.cart.settings import CartSettings
from services.cart.store.carts import CartStore, WriteTime
from services.cart.views import render_cart
from services.cart.write_cache import WriteCache


@dataclass(frozen=True, slots=True)
class CartDeps:
    """The cart's database, its client of the catalog, its write cache and its settings."""

    mongo: Mongo
    carts: CartStore
    prices: PriceClient
    write_cache: WriteCache
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


def build_deps(resources: Resources[CartSettings, Mongo]) -> CartDeps:
    """Builds the dependencies from the resources of the process."""
    return CartDeps(
        mongo=resources.store,
        carts=CartStore(resources.store.database),
        prices=PriceClient(resources.rpc),
        write_cache=WriteCache(),
        settings=resources.settings,
    )
