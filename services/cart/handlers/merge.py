"""A guest signs in: what was in the guest's cart goes into the customer's own, once."""

from functools import partial

from contracts import cart as contract
from contracts.cart import CartChanged, CartMerged, MergeCart
from contracts.failure import NotFound
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.foundation.ids import now
from infra.messaging.rpc import Reply, Request
from services.cart.deps import MAX_ATTEMPTS, CartDeps, WriteConflict
from services.cart.domain.carts import CartEdit, CartRecord, QuotesBySku, merge_lines


async def merge(shop: CartDeps, ask: Request[MergeCart]) -> Reply[contract.Cart]:
    for _ in range(MAX_ATTEMPTS):
        guest = await _guest(shop, ask.body.cart_id)
        mine = await shop.own_cart(ask.user.user_id)
        quotes = await shop.prices.quotes_for({*mine.lines_by_sku, *guest.lines_by_sku})
        edit = merge_lines(mine, guest)
        try:
            answer = await shop.mongo.run_idempotent_transaction(ask, partial(_join, shop, mine, guest, edit, quotes))
        except WriteConflict:
            continue
        failpoint("cart.merged")
        return answer
    raise CartChanged


async def _guest(shop: CartDeps, id_: str) -> CartRecord:
    cart = await shop.carts.find(id_, now())
    if cart is None or cart.user_id is not None:
        raise NotFound
    if cart.merged_into is not None:
        raise CartMerged
    return cart


async def _join(
    shop: CartDeps, mine: CartRecord, guest: CartRecord, edit: CartEdit | None, quotes: QuotesBySku, session: Session
) -> Reply[contract.Cart]:
    """Both are written as they were read, or neither."""
    joined = mine
    if edit is not None:
        changed = await shop.carts.apply_edit(mine, edit, shop.write_time(mine.user_id), session=session)
        if changed is None:
            raise WriteConflict
        joined = changed
        failpoint("cart.half_merged")
    if not await shop.carts.mark_merged(guest, joined, session):
        raise WriteConflict
    return shop.reply(joined, quotes)
