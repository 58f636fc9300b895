"""Carts as this process has last written them: a guess that saves a read before the next write.

It may be wrong, for other processes write too. So nothing is answered from it: a write looks at the cart itself, and
whatever else is decided on a guess is decided again on what is read.
"""

from collections import OrderedDict
from uuid import UUID

from contracts.identity import Identity
from services.cart.domain.carts import CartRecord

CACHE_SIZE = 5_000


class WriteCache:
    """By the id that somebody used and who that was: nobody finds what another was given."""

    def __init__(self) -> None:
        self._carts: OrderedDict[tuple[str, UUID | None], CartRecord] = OrderedDict()

    def take(self, id_: str, identity: Identity | None) -> CartRecord | None:
        """The guess, which is used up."""
        return self._carts.pop(_key(id_, identity), None)

    def put(self, id_: str, identity: Identity | None, cart: CartRecord) -> None:
        self._carts[_key(id_, identity)] = cart
        if len(self._carts) > CACHE_SIZE:
            self._carts.popitem(last=False)


def _key(id_: str, identity: Identity | None) -> tuple[str, UUID | None]:
    return id_, identity.user_id if identity else None
