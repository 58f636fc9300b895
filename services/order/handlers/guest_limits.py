"""How many orders guests may place: checked before stock is held, and taken in the transaction that stores the order.

So a refused order costs neither stock nor more than one query, and only stored orders count.
"""

import math
from typing import NoReturn

from contracts.order import TooManyGuestOrders
from infra.database.postgres import Transaction
from services.order.deps import OrderDeps
from services.order.domain.guest_limits import GuestOrderBucket
from services.order.domain.orders import Buyer
from services.order.store import guest_limits as store
from services.order.store.guest_limits import EmptyBucket

_DETAILS = {
    "address": "Too many orders were placed without an account from your address. Sign in, or try again later.",
    "email": "Too many orders were placed without an account for this e-mail. Sign in, or try again later.",
}


def buckets_of(deps: OrderDeps, client_ip: str, buyer: Buyer) -> list[GuestOrderBucket]:
    """Returns what a guest's order takes from; nothing for a customer."""
    if buyer.user_id is not None or buyer.email is None:
        return []
    return list(deps.guest_limits.buckets(client_ip, buyer.email))


async def find_empty(deps: OrderDeps, buckets: list[GuestOrderBucket]) -> EmptyBucket | None:
    """Returns the bucket that has nothing left for an order; None if there is none."""
    if not buckets:
        return None
    async with deps.db.connection() as connection:
        return await store.find_empty(connection, buckets, deps.guest_limits.window_seconds)


async def take(deps: OrderDeps, tx: Transaction, buckets: list[GuestOrderBucket]) -> None:
    """Counts an order that the transaction has stored. Raises `TooManyGuestOrders` if others were faster."""
    window = deps.guest_limits.window_seconds
    if not buckets or await store.take(tx.connection, buckets, window):
        return
    refuse(deps, await store.find_empty(tx.connection, buckets, window) or EmptyBucket(buckets[0].kind, 1))


def refuse(deps: OrderDeps, empty: EmptyBucket) -> NoReturn:
    """Counts the refusal and raises it."""
    deps.guest_orders.labels(f"{empty.kind}_limit").inc()
    raise TooManyGuestOrders(_DETAILS[empty.kind], retry_after=math.ceil(empty.wait_seconds))
