"""What every handler of the cart gets, and whose cart it is that somebody names."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts import cart as contract
from contracts.failure import NotFound, PreconditionFailed, Unauthorized, Unavailable
from contracts.identity import Identity
from infra.database.mongo import Mongo
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.foundation.settings import MongoSettings
from infra.messaging.rpc import Reply, Request
from services.cart.domain.carts import CartRecord, QuotesBySku
from services.cart.price_client import PriceClient
from services.cart.store.carts import CartStore, WriteTime
from services.cart.views import render_cart
from services.cart.write_cache import WriteCache

MINE = "mine"
MAX_ATTEMPTS = 5
"""How often something is decided anew that others have overtaken."""


class CartSettings(MongoSettings):
    guest_cart_days: int = 30
    customer_cart_days: int = 90


class WriteConflict(Exception):  # noqa: N818 - not an error: read again, and decide again
    """The cart is not any more what was decided on."""


@dataclass(frozen=True, slots=True)
class CartDeps:
    mongo: Mongo
    carts: CartStore
    prices: PriceClient
    write_cache: WriteCache
    settings: CartSettings

    def write_time(self, user_id: UUID | None) -> WriteTime:
        """Each change begins a cart's time anew. It ends on a full hour, so that few changes touch the index of it."""
        days = self.settings.guest_cart_days if user_id is None else self.settings.customer_cart_days
        at = now()
        return WriteTime(at, at.replace(minute=0, second=0, microsecond=0) + timedelta(days=days, hours=1))

    def new_cart(self, user_id: UUID | None) -> CartRecord:
        return CartRecord(secrets.token_urlsafe(16), user_id, self.write_time(user_id).expires_at)

    async def find_cart(self, id_: str, identity: Identity | None) -> CartRecord:
        """The cart that somebody may use by that name: a guest's for who has its id, a customer's for nobody else."""
        if id_ == MINE:
            if identity is None:
                raise Unauthorized
            return await self.own_cart(identity.user_id)
        cart = await self.carts.find(id_, now())
        user_id = identity.user_id if identity else None
        if cart is None or cart.merged_into or cart.user_id not in (None, user_id):
            raise NotFound
        return cart

    async def own_cart(self, user_id: UUID) -> CartRecord:
        """The customer's own cart. The first to look for it makes it."""
        for _ in range(MAX_ATTEMPTS):
            if found := await self.carts.find_by_user(user_id, now()):
                return found
            await self.carts.delete_expired(user_id, now())
            failpoint("cart.old_forgotten")
            if await self.carts.insert(cart := self.new_cart(user_id)):
                return cart
        raise Unavailable(retry_after=1)

    def reply(self, cart: CartRecord, quotes: QuotesBySku) -> Reply[contract.Cart]:
        return Reply(render_cart(cart, quotes, self.settings.currency), cart.version)


def require_version(ask: Request[Any], cart: CartRecord) -> None:
    if ask.if_match is not None and ask.if_match != cart.version:
        raise PreconditionFailed
