"""A guest signs in: what was in the guest's cart goes into the customer's own, once."""

from functools import partial

from contracts import cart as contract
from contracts.cart import CartChanged, CartMerged, Merge
from contracts.failure import NotFound
from infra.database.mongo import Session
from infra.foundation.failpoints import crash_point
from infra.foundation.ids import now
from infra.messaging.rpc import Answer, Ask
from services.cart.deps import TRIES, Overtaken, Shop
from services.cart.domain.carts import Cart, Edit, Quotes, merging


async def merge(shop: Shop, ask: Ask[Merge]) -> Answer[contract.Cart]:
    for _ in range(TRIES):
        guest = await _guest(shop, ask.body.cart_id)
        mine = await shop.own(ask.who.user_id)
        quotes = await shop.prices.of({*mine.by_sku, *guest.by_sku})
        edit = merging(mine, guest)
        try:
            answer = await shop.mongo.transaction(ask, partial(_join, shop, mine, guest, edit, quotes))
        except Overtaken:
            continue
        crash_point("cart.merged")
        return answer
    raise CartChanged


async def _guest(shop: Shop, id_: str) -> Cart:
    cart = await shop.carts.find(id_, now())
    if cart is None or cart.user_id is not None:
        raise NotFound
    if cart.merged_into is not None:
        raise CartMerged
    return cart


async def _join(
    shop: Shop, mine: Cart, guest: Cart, edit: Edit | None, quotes: Quotes, session: Session
) -> Answer[contract.Cart]:
    """Both are written as they were read, or neither."""
    joined = mine
    if edit is not None:
        changed = await shop.carts.change(mine, edit, shop.touch(mine.user_id), session=session)
        if changed is None:
            raise Overtaken
        joined = changed
        crash_point("cart.half_merged")
    if not await shop.carts.merge_into(guest, joined, session):
        raise Overtaken
    return shop.answer(joined, quotes)
