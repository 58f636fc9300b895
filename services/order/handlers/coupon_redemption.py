"""An order's coupon: looked up before stock is held, and taken in the transaction that stores the order."""

import math
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.coupons import TooManyCouponAttempts
from infra.database.postgres import Connection
from infra.foundation.ids import now
from services.order.deps import OrderDeps
from services.order.domain.coupons import (
    CouponCustomer,
    CouponState,
    RequestedCoupon,
    customer_of,
    grant_uses,
    request_coupon,
    require_usable,
)
from services.order.domain.orders import Buyer, OrderDraft
from services.order.store import coupon_uses as store
from services.order.store import coupons, guest_limits
from services.order.store import insert as orders


async def find_requested(deps: OrderDeps, code: str | None, buyer: Buyer, client_ip: str) -> RequestedCoupon | None:
    """Returns the coupon that an order names, if the buyer may use it now; None if it names none."""
    if code is None:
        return None
    customer = customer_of(buyer.user_id, buyer.email, deps.guest_limits.secret)
    return request_coupon(await find_usable(deps, code, customer, client_ip=client_ip), customer)


async def find_usable(
    deps: OrderDeps, code: str, customer: CouponCustomer, *, client_ip: str, cart_reference: str = ""
) -> CouponState:
    """Returns the coupon if this customer may use it now. A code that does not exist counts as a guess.

    Who has guessed too often is refused every code, so that the refusal does not tell a good code.
    """
    buckets = list(deps.coupon_guesses.buckets(client_ip, cart_reference))
    window = deps.coupon_guesses.window_seconds
    async with deps.db.connection() as connection:
        empty = await guest_limits.find_empty(connection, buckets, window) if buckets else None
        if empty is not None:
            raise TooManyCouponAttempts(
                "Too many unknown coupon codes were tried. Try again later.", retry_after=math.ceil(empty.wait_seconds)
            )
        state = await coupons.find(connection, code, customer)
        if state is None and buckets:
            await guest_limits.take(connection, buckets, window)
    return require_usable(state, now())


async def take_uses(connection: Connection, drafts: Sequence[OrderDraft]) -> Mapping[UUID, Exception]:
    """Takes the coupons of orders that the transaction has just stored.

    An order that does not get its coupon is deleted again: the result says why, by order.
    """
    wanted = {draft.order.id: draft.coupon for draft in drafts if draft.coupon is not None}
    if not wanted:
        return {}
    locked = await store.lock_coupons(connection, [use.coupon_id for use in wanted.values()])
    refused = grant_uses(wanted.items(), locked, await store.find_earlier(connection, wanted))
    granted = {order_id: use for order_id, use in wanted.items() if order_id not in refused}
    if granted:
        await store.take(connection, granted)
    if refused:
        await orders.delete(connection, list(refused))
    return refused
