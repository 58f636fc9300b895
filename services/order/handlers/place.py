"""Placing an order: first the stock is held, then one transaction writes the order, its event and its reply.

All requests to place the same order share one hold: its id is derived from the cart's version, or else from the
idempotency key and the request. So a customer who tries again after a crash between the two steps finds the stock that
the first try has held, and two requests at the same moment make one order. A hold without an order is released, or it
expires.

A cart keeps its lines until an order of it is paid. When that order is cancelled instead, the same version can be
ordered again: the number of its cancelled orders, the attempt, is part of the hold's id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid5

from contracts import cart, catalog, user
from contracts.cart import CartChanged
from contracts.catalog import GuestStockLimit, Hold, HoldMismatch, PlaceHold, RequestedLine
from contracts.coupons import CouponInvalid, TooManyCouponAttempts
from contracts.failure import Fail, IdempotencyInProgress, InternalError, TimedOut, Unavailable
from contracts.gift_cards import GIFT_CARD_REFUSALS
from contracts.order import Address, Order, OrderStatus, PlaceOrder
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import new_id, now
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc_client import Reply, Request
from services.order.deps import OrderDeps
from services.order.domain.coupons import CouponChanged, RequestedCoupon
from services.order.domain.guest_limits import GuestOrderBucket
from services.order.domain.orders import (
    Buyer,
    CartVersion,
    OrderDraft,
    OrderRecord,
    draft_order,
    reject_card_number,
    require_known_method,
    require_products,
    require_same_buyer,
    resolve_buyer,
)
from services.order.domain.pricing import PricingRules
from services.order.handlers import coupon_redemption, gift_card_holds, guest_limits
from services.order.handlers.grouped_orders import OrderExists, RulesChanged, write_orders
from services.order.store import insert as store
from services.order.workers import orphaned_hold_release

_HOLD_NAMESPACE = UUID("7a1c5a0e-5d4b-4a0e-9c61-2f0c8f3b6d11")
"""The namespace of derived hold ids."""

MAX_ATTEMPTS = 3
"""How often an order is tried because its cart's last one was cancelled, or the pricing rules changed, meanwhile."""

REFUSALS_OF_REPEATS = (CouponInvalid, TooManyCouponAttempts, *GIFT_CARD_REFUSALS)
"""Why an order may be refused that was placed before: it has used up itself what it asks for again."""

UNCERTAIN_ERRORS = (TimedOut, Unavailable, InternalError)
"""After these it is unknown whether catalog has held the stock."""


@dataclass(frozen=True, slots=True)
class RequestedOrder:
    """What is ordered, by whom, and the cart's version that it comes from."""

    body: PlaceOrder
    buyer: Buyer
    lines: list[RequestedLine]
    cart: CartVersion | None
    products: Mapping[str, UUID]
    """The product of each SKU as it is in the cart. Another product may have the SKU by now."""
    coupon_code: str | None


class _OrderCancelled(Exception):  # noqa: N818 - control flow: the next attempt has a hold of its own
    """The order that was placed before from this version of the cart is cancelled."""


async def place(deps: OrderDeps, request: Request[PlaceOrder]) -> Reply[Order]:
    """Holds every line or none and writes the order. The same request again returns the same order."""
    reject_card_number(request.body.payment_method)
    buyer = resolve_buyer(request.identity, request.body, smtp_utf8=deps.smtp_utf8)
    body = await _with_address(deps, request)
    purchase = await _requested_order(deps, body, buyer)
    cart_version = purchase.cart
    await deps.pricing_rules.decide(deps.db, partial(require_known_method, body))
    if cart_version is None:
        return await _place_once(deps, request, purchase, derive_hold_id(None, request.idempotency_key))
    for _ in range(MAX_ATTEMPTS):
        hold_id = await _next_hold_id(deps, cart_version)
        try:
            return await _place_once(deps, request, purchase, hold_id)
        except _OrderCancelled:
            continue
    raise CartChanged


async def _place_once(
    deps: OrderDeps, request: Request[PlaceOrder], purchase: RequestedOrder, hold_id: UUID
) -> Reply[Order]:
    """As `_place`. An order that was placed before has its use of the coupon, and its part of the gift cards."""
    try:
        return await _place(deps, request, purchase, hold_id)
    except REFUSALS_OF_REPEATS as refusal:
        return await _placed_before(deps, request, purchase, hold_id, refusal)


async def _next_hold_id(deps: OrderDeps, cart_version: CartVersion) -> UUID:
    """The id of the hold for the next order of this cart version.

    The hold of the order that was cancelled last is released here too: catalog may not have consumed its event yet, or
    not returned its stock, and the last units would seem to be sold.
    """
    async with deps.db.connection() as connection:
        attempt = await store.count_cancelled(connection, cart_version)
    if attempt:
        await orphaned_hold_release.release(deps, derive_hold_id(cart_version, None, attempt - 1), retry=False)
    return derive_hold_id(cart_version, None, attempt)


async def _place(
    deps: OrderDeps, request: Request[PlaceOrder], purchase: RequestedOrder, hold_id: UUID
) -> Reply[Order]:
    """Holds the stock under that id and writes the order; raises `_OrderCancelled` when its cart may be tried again."""
    is_private = purchase.cart is None and request.idempotency_key is None
    buckets = guest_limits.buckets_of(deps, request.client_ip, purchase.buyer)
    await _require_within_limits(deps, buckets, hold_id, purchase.cart)
    coupon = await coupon_redemption.find_requested(deps, purchase.coupon_code, purchase.buyer, request.client_ip)
    try:
        hold = await _lasting_hold(deps, hold_id, purchase)
    except HoldMismatch as mismatch:
        return await _placed_before(deps, request, purchase, hold_id, mismatch)
    except UNCERTAIN_ERRORS:
        if is_private:
            orphaned_hold_release.release_later(deps, hold_id)
        raise
    failpoint("order.stock_held")
    try:
        require_products(hold, purchase.products)
        placed, is_new = await _price_and_write(deps, request, purchase, coupon, hold, buckets)
        failpoint("order.written")
    except Exception as error:
        if should_release_hold(error):
            failpoint("order.refused")
            # The client has its answer and may not come again.
            await orphaned_hold_release.release(deps, hold_id, retry=True)
        elif is_private:
            orphaned_hold_release.release_later(deps, hold_id)
        raise
    if not is_new:
        await orphaned_hold_release.release(deps, hold_id, retry=is_private)
    return placed


async def _require_within_limits(
    deps: OrderDeps, buckets: list[GuestOrderBucket], hold_id: UUID, cart_version: CartVersion | None
) -> None:
    """Raises `TooManyGuestOrders` for a further order of a guest; a repeat of an order that exists is none."""
    empty = await guest_limits.find_empty(deps, buckets)
    if empty is None:
        return
    async with deps.db.connection() as connection:
        if await store.find_existing(connection, hold_id, cart_version) is not None:
            return
    guest_limits.refuse(deps, empty)


async def _with_address(deps: OrderDeps, request: Request[PlaceOrder]) -> PlaceOrder:
    """The request with a copy of the saved address that it names. Later changes to that do not affect the order."""
    if request.body.address_id is None:
        return request.body
    address_ref = user.CustomerAddressRef(id=request.body.address_id, user_id=request.user.user_id)
    saved = await deps.rpc.request(user.ADDRESS, address_ref)
    address = Address.model_validate(saved.model_dump(exclude={"id"}))
    return request.body.model_copy(update={"shipping_address": address})


async def _requested_order(deps: OrderDeps, body: PlaceOrder, buyer: Buyer) -> RequestedOrder:
    """The lines to buy, with the cart's version and its products when they come from a cart."""
    if body.items is not None:
        return RequestedOrder(body, buyer, body.items, None, {}, body.coupon)
    assert body.cart_id is not None, "the contract requires one of the two"
    checkout = await deps.rpc.request(cart.CHECKOUT, cart.CheckoutRequest(id=body.cart_id, user_id=buyer.user_id))
    failpoint("order.cart_read")
    lines = [RequestedLine(sku=line.sku, quantity=line.quantity) for line in checkout.lines]
    products = {line.sku: line.product_id for line in checkout.lines if line.product_id is not None}
    cart_version = CartVersion(checkout.cart_id, checkout.version)
    return RequestedOrder(body, buyer, lines, cart_version, products, body.coupon or checkout.coupon)


def derive_hold_id(cart_version: CartVersion | None, key: IdempotencyKey | None, attempt: int = 0) -> UUID:
    """Returns the hold id shared by all requests for the same order; a new id when nothing identifies the order.

    `attempt` is the number of orders of that cart version that were cancelled.
    """
    if cart_version is not None:
        again = f" {attempt}" if attempt else ""
        return uuid5(_HOLD_NAMESPACE, f"cart {cart_version.cart_id} {cart_version.version}{again}")
    if key is not None:
        return uuid5(_HOLD_NAMESPACE, f"key {key.digest.hex()} {key.fingerprint.hex()}")
    return new_id()


def should_release_hold(error: Exception) -> bool:
    """Whether the hold is useless after this error: no order was stored, and no other request is storing one on it.

    When the outcome is unknown, a shared hold stays, so that the next try finds it.
    """
    is_useless = isinstance(error, Fail | AlreadyProcessed | _OrderCancelled)
    return is_useless and not isinstance(error, IdempotencyInProgress)


async def _lasting_hold(deps: OrderDeps, hold_id: UUID, purchase: RequestedOrder) -> Hold:
    """A hold that leaves enough time to pay. One left over from an old try is released first and made again."""
    pay_within_seconds = deps.pay_within_seconds_of(purchase.buyer)
    place_hold = PlaceHold(
        hold_id=hold_id,
        lines=purchase.lines,
        seconds=int(pay_within_seconds + deps.hold_margin_seconds),
        guest_limit=deps.guest_limits.hold_limit if purchase.buyer.user_id is None else None,
    )
    hold = await _hold(deps, place_hold)
    if (hold.seconds_left or 0) < deps.hold_margin_seconds + pay_within_seconds / 2:
        await orphaned_hold_release.release(deps, hold_id, retry=False)
        failpoint("order.stale_hold_released")
        hold = await _hold(deps, place_hold)
    return hold


async def _hold(deps: OrderDeps, place_hold: PlaceHold) -> Hold:
    """The hold, with the seconds left as catalog reports them, since its clock ends the hold.

    Only when catalog does not report them are they computed with this process's clock.
    """
    try:
        hold = await deps.rpc.request(catalog.HOLD, place_hold)
    except GuestStockLimit:
        deps.guest_orders.labels("stock_limit").inc()
        raise
    if hold.seconds_left is None:
        return hold.model_copy(update={"seconds_left": (hold.expires_at - now()).total_seconds()})
    return hold


async def _placed_before(
    deps: OrderDeps, request: Request[PlaceOrder], purchase: RequestedOrder, hold_id: UUID, refusal: Fail
) -> Reply[Order]:
    """The order that was placed before, although it would be refused now; raises the refusal if there is none."""
    async with deps.db.transaction(request) as tx:
        existing = await store.find_existing(tx.connection, hold_id, purchase.cart)
        if existing is None:
            raise refusal
        record = _require_current(existing, purchase.cart, purchase.buyer)
        return tx.reply(record.order, version=record.version)


def _require_current(existing: OrderRecord | None, cart_version: CartVersion | None, buyer: Buyer) -> OrderRecord:
    """The order that was placed before, if it still stands for its cart and this buyer placed it.

    Raises `_OrderCancelled` when it was cancelled, perhaps just now: then the cart can be ordered again.
    """
    if cart_version is not None and (existing is None or existing.order.status is OrderStatus.CANCELLED):
        raise _OrderCancelled
    return require_same_buyer(existing, buyer)


async def _price_and_write(
    deps: OrderDeps,
    request: Request[PlaceOrder],
    purchase: RequestedOrder,
    coupon: RequestedCoupon | None,
    hold: Hold,
    buckets: list[GuestOrderBucket],
) -> tuple[Reply[Order], bool]:
    """The order at the prices of the rules that are current when it is stored, and whether this request stored it."""

    def draft(rules: PricingRules) -> OrderDraft:
        body, buyer = purchase.body, purchase.buyer
        return draft_order(body, buyer, hold, purchase.cart, rules, order_id=new_id(), at=now(), coupon=coupon)

    for _ in range(MAX_ATTEMPTS):
        try:
            drafted = await deps.pricing_rules.decide(deps.db, draft)
            return await _write_with_gift_cards(deps, request, drafted, buckets)
        except RulesChanged:
            deps.pricing_rules.forget()
        except CouponChanged:
            coupon = await coupon_redemption.find_requested(
                deps, purchase.coupon_code, purchase.buyer, request.client_ip
            )
    raise Unavailable("Prices are being changed. Try again.", retry_after=1)


async def _write_with_gift_cards(
    deps: OrderDeps, request: Request[PlaceOrder], drafted: OrderDraft, buckets: list[GuestOrderBucket]
) -> tuple[Reply[Order], bool]:
    """As `_write`, with a hold on the gift cards, if any, which is released unless its order is stored."""
    if not request.body.gift_cards:
        return await _write(deps, request, drafted, buckets)
    draft = await gift_card_holds.hold(deps, request, drafted)
    try:
        placed, is_new = await _write(deps, request, draft, buckets)
    except Exception as error:
        if should_release_hold(error) or isinstance(error, RulesChanged | CouponChanged):
            await gift_card_holds.release(deps, draft)
        raise
    if not is_new:
        await gift_card_holds.release(deps, draft)
    return placed, is_new


async def _write(
    deps: OrderDeps, request: Request[PlaceOrder], draft: OrderDraft, buckets: list[GuestOrderBucket]
) -> tuple[Reply[Order], bool]:
    """The order, and whether this request has stored it; False when it existed before.

    Orders share a transaction with others that arrive meanwhile; those with coupons only with each other, because they
    lock their coupons. A guest's order that is counted is stored alone: it locks what it is counted by, and others
    would wait with it.
    """
    item = draft, _pay_within_seconds(deps, draft)
    try:
        if buckets:
            async with deps.db.transaction(request) as tx:
                reply = _require_stored(*await write_orders([(tx, item)]))
                await guest_limits.take(deps, tx, buckets)
        else:
            reply = await deps.placement_of(draft).run(request, item)
    except OrderExists:
        async with deps.db.transaction(request) as tx:
            existing = await store.find_existing(tx.connection, draft.hold.hold_id, draft.cart)
            record = _require_current(existing, draft.cart, draft.buyer)
            return tx.reply(record.order, version=record.version), False
    if draft.buyer.user_id is None:
        deps.guest_orders.labels("placed").inc()
    return reply, True


def _require_stored(result: Reply[Order] | Exception) -> Reply[Order]:
    if isinstance(result, Exception):
        raise result
    return result


def _pay_within_seconds(deps: OrderDeps, draft: OrderDraft) -> float:
    """How long the order may take to be paid: by the database's clock at least the margin before its hold ends."""
    left = (draft.hold.seconds_left or 0) - deps.hold_margin_seconds
    return min(deps.pay_within_seconds_of(draft.buyer), left)
