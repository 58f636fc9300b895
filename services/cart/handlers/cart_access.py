"""Finds the cart that a request may use, or refuses the request."""

import secrets
from typing import Any
from uuid import UUID

from contracts.failure import NotFound, PreconditionFailed, Unauthorized, Unavailable
from contracts.identity import Identity
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc_client import Request
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartRecord

MY_CART_ID = "mine"
"""In place of an id: the signed-in customer's own cart."""
MAX_ATTEMPTS = 5
"""How often a write is decided again after another write came first."""
_SECRET_BYTES = 16


async def find_cart(deps: CartDeps, cart_id: str, identity: Identity | None) -> CartRecord:
    """The cart of that id, if the caller may use it.

    A guest's cart is open to every caller who knows its id; a customer's cart only to that customer.
    """
    if cart_id == MY_CART_ID:
        if identity is None:
            raise Unauthorized
        return await own_cart(deps, identity.user_id)
    cart = await deps.carts.find(cart_id, now())
    user_id = identity.user_id if identity else None
    if cart is None or cart.merged_into or cart.user_id not in (None, user_id):
        raise NotFound
    return cart


async def own_cart(deps: CartDeps, user_id: UUID) -> CartRecord:
    """The customer's own cart, created on the first request for it."""
    for _ in range(MAX_ATTEMPTS):
        if found := await deps.carts.find_by_user(user_id, now()):
            return found
        await deps.carts.delete_expired(user_id, now())
        failpoint("cart.expired_deleted")
        if await deps.carts.insert(cart := new_cart(deps, user_id)):
            return cart
    raise Unavailable(retry_after=1)


def new_cart(deps: CartDeps, user_id: UUID | None) -> CartRecord:
    """An empty cart with an id that cannot be guessed; `user_id` is None for a guest."""
    return CartRecord(secrets.token_urlsafe(_SECRET_BYTES), user_id, deps.write_time(user_id).expires_at)


def require_version(request: Request[Any], cart: CartRecord) -> None:
    """Raises `PreconditionFailed` when `If-Match` names another version of the cart."""
    if request.if_match is not None and cart.version not in request.if_match:
        raise PreconditionFailed
