"""Merges a guest's cart into the customer's own when the guest signs in."""

from contracts import cart as contract
from contracts.cart import CartChanged, CartMerged, MergeCart
from contracts.failure import NotFound
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc_client import Reply, Request
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartRecord, QuotesBySku, merge_lines, units_taken
from services.cart.handlers.cart_access import MAX_ATTEMPTS, own_cart
from services.cart.store.carts import WriteConflict


async def merge(deps: CartDeps, request: Request[MergeCart]) -> Reply[contract.Cart]:
    """Moves the guest's lines into the customer's cart, once."""
    for _ in range(MAX_ATTEMPTS):
        guest = await _find_guest_cart(deps, request.body.cart_id)
        own = await own_cart(deps, request.user.user_id)
        quotes = await deps.prices.quotes_for({*own.lines_by_sku, *guest.lines_by_sku})
        try:
            reply = await _write_merge(deps, request, own, guest, quotes)
        except WriteConflict:
            continue
        failpoint("cart.merged")
        return reply
    raise CartChanged


async def _find_guest_cart(deps: CartDeps, cart_id: str) -> CartRecord:
    cart = await deps.carts.find(cart_id, now())
    if cart is None or cart.user_id is not None:
        raise NotFound
    if cart.merged_into is not None:
        raise CartMerged
    return cart


async def _write_merge(
    deps: CartDeps, request: Request[MergeCart], own: CartRecord, guest: CartRecord, quotes: QuotesBySku
) -> Reply[contract.Cart]:
    """Writes both carts in one transaction; raises `WriteConflict` when either has changed since it was read."""
    edit = merge_lines(own, guest)

    async def write(session: Session) -> Reply[contract.Cart]:
        merged = own
        if edit is not None:
            merged = await deps.carts.apply_edit(own, edit, deps.write_time(own.user_id), session=session)
            failpoint("cart.half_merged")
        await deps.carts.mark_merged(guest, merged, units_taken(guest, own, merged), session)
        return deps.reply(merged, quotes)

    return await deps.mongo.run_idempotent_transaction(request, write)
