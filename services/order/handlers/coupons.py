"""Administrators read and edit coupons, and make single-use codes. The cart asks whether a code would be accepted."""

import secrets

from contracts.coupons import CouponTerms
from contracts.failure import FieldError, InvalidRequest, NotFound
from contracts.model import Empty, ListPage, PageParams
from contracts.order import (
    CheckCoupon,
    Coupon,
    CouponCodes,
    CouponFields,
    CouponRef,
    CreateCouponCodes,
    ReplaceCoupon,
)
from contracts.readable_codes import RANDOM_BYTES
from infra.foundation import pagination
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.coupons import (
    customer_of,
    format_single_use_code,
    require_fitting,
    terms_of,
)
from services.order.handlers import coupon_redemption
from services.order.store import coupons as store

_NOT_TOLD = {"id", "used", "created_at"}
"""What an audit entry leaves out: no administrator changes it."""


async def list_coupons(deps: OrderDeps, request: Request[PageParams]) -> ListPage[Coupon]:
    """Lists coupons, the oldest first."""
    after = pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await store.list_page(connection, after, request.body.limit + 1)
    page, next_cursor = pagination.paginate(found, request.body.limit)
    return ListPage[Coupon](items=page, next=next_cursor)


async def get_coupon(deps: OrderDeps, request: Request[CouponRef]) -> Coupon:
    """Reads a coupon with the number of its uses."""
    async with deps.db.connection() as connection:
        return _require_found(await store.get(connection, request.body.id))


async def create_coupon(deps: OrderDeps, request: Request[CouponFields]) -> Reply[Coupon]:
    """Creates a coupon."""
    async with deps.db.transaction(request) as tx:
        return tx.reply(await store.put(tx.connection, new_id(), request.body))


async def replace_coupon(deps: OrderDeps, request: Request[ReplaceCoupon]) -> Reply[Coupon]:
    """Replaces a coupon. Orders that were placed before keep their discount and their use."""
    async with deps.db.transaction(request) as tx:
        before = _require_found(await store.lock(tx.connection, request.body.id))
        if request.body.max_uses is not None and request.body.max_uses < before.used:
            detail = f"The coupon is used by {before.used} orders. Send that number, or set `active` to false."
            raise InvalidRequest(errors=[FieldError(pointer="/max_uses", detail=detail)])
        tx.audit_changes(before=before.model_dump(mode="json", exclude=_NOT_TOLD))
        return tx.reply(await store.put(tx.connection, before.id, request.body))


async def delete_coupon(deps: OrderDeps, request: Request[CouponRef]) -> Reply[Empty]:
    """Deletes a coupon that no order has used; ends any other one, which its orders still name."""
    async with deps.db.transaction(request) as tx:
        before = _require_found(await store.lock(tx.connection, request.body.id))
        tx.audit_changes(before=before.model_dump(mode="json", exclude=_NOT_TOLD))
        if not await store.delete_unused(tx.connection, before.id):
            await store.deactivate(tx.connection, before.id)
        return tx.reply(Empty())


async def create_coupon_codes(deps: OrderDeps, request: Request[CreateCouponCodes]) -> Reply[CouponCodes]:
    """Makes single-use codes for a coupon."""
    body = request.body
    codes = [format_single_use_code(secrets.token_bytes(RANDOM_BYTES), body.prefix) for _ in range(body.count)]
    async with deps.db.transaction(request) as tx:
        coupon = _require_found(await store.lock(tx.connection, body.id))
        await store.insert_codes(tx.connection, coupon.id, codes)
        return tx.reply(CouponCodes(codes=codes))


async def check_coupon(deps: OrderDeps, request: Request[CheckCoupon]) -> CouponTerms:
    """Returns what a coupon takes off, if it would be accepted for these goods now."""
    body = request.body
    customer = customer_of(body.user_id, None, deps.guest_limits.secret)
    state = await coupon_redemption.find_usable(
        deps, body.code, customer, client_ip=body.client_ip, cart_reference=body.cart_id
    )
    terms = terms_of(state)
    require_fitting(terms, body.subtotal.amount, body.subtotal.currency)
    return terms


def _require_found(coupon: Coupon | None) -> Coupon:
    if coupon is None:
        raise NotFound
    return coupon
