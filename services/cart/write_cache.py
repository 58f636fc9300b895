"""Carts as this process last wrote them, which saves a read before the next write.

An entry may be stale, because other processes write too. So no reply is made from it: the write statement checks the
stored cart, and every decision that does not end in a write is made again on the stored cart.
"""

from collections import OrderedDict
from uuid import UUID

from contracts.identity import Identity
from services.cart.domain.carts import CartRecord

CACHE_SIZE = 5_000
"""Carts; the oldest entry is dropped first."""


class WriteCache:
    """Carts by the id in the request and the user who sent it, so that no user finds another user's cart."""

    def __init__(self) -> None:
        self._carts: OrderedDict[tuple[str, UUID | None], CartRecord] = OrderedDict()

    def take(self, cart_id: str, identity: Identity | None) -> CartRecord | None:
        """Removes and returns the entry, if there is one."""
        return self._carts.pop(_key(cart_id, identity), None)

    def put(self, cart_id: str, identity: Identity | None, cart: CartRecord) -> None:
        """Stores the cart as it was just written."""
        self._carts[_key(cart_id, identity)] = cart
        if len(self._carts) > CACHE_SIZE:
            self._carts.popitem(last=False)


def _key(cart_id: str, identity: Identity | None) -> tuple[str, UUID | None]:
    return cart_id, identity.user_id if identity else None
