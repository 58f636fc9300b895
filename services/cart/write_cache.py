"""Carts as this process last read or wrote them, which saves a read before the next write.

An entry may be stale, because other processes write too. So no reply is made from it alone: the write statement checks
the stored cart, and every decision that does not end in a write is made again on the stored cart.
"""

from collections import OrderedDict
from uuid import UUID

from contracts.identity import Identity
from services.cart.domain.carts import CartRecord

CACHE_SIZE = 5_000
"""Carts; the oldest entry is dropped first."""

CartKey = tuple[str, UUID | None]
"""The id in a request and the user who sent it, so that no user finds another user's cart."""


def cart_key(cart_id: str, identity: Identity | None) -> CartKey:
    """The key of the cart that a request names."""
    return cart_id, identity.user_id if identity else None


class WriteCache:
    """Carts by the id in the request and the user who sent it."""

    def __init__(self) -> None:
        self._carts: OrderedDict[CartKey, CartRecord] = OrderedDict()

    def get(self, key: CartKey) -> CartRecord | None:
        """The entry, if there is one."""
        return self._carts.get(key)

    def put(self, key: CartKey, cart: CartRecord) -> None:
        """Stores the cart, unless a later version of it is known."""
        known = self._carts.get(key)
        if known is not None and known.id == cart.id and known.version > cart.version:
            return
        self._carts[key] = cart
        self._carts.move_to_end(key)
        if len(self._carts) > CACHE_SIZE:
            self._carts.popitem(last=False)

    def drop(self, key: CartKey) -> None:
        """Forgets the entry, which is not the stored cart."""
        self._carts.pop(key, None)

    def clear(self) -> None:
        """Forgets every cart."""
        self._carts.clear()
