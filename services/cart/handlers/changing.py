"""Lines come, change and go. Prices are asked for before the write, so that what cannot be answered is not done."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from contracts import cart as contract
from contracts.cart import AddItem, CartChanged, CartOf, RemoveItem, SetItem
from infra.mongo import Session
from infra.rpc import Answer, Ask
from services.cart.domain import Cart, Edit, Quotes, adding, clearing, removing, setting
from services.cart.shop import TRIES, Overtaken, Shop, match_version

Decision = Callable[[Cart, Quotes], Edit | None]
"""Raises why not; None when everything is so already."""


async def add(shop: Shop, ask: Ask[AddItem]) -> Answer[contract.Cart]:
    body = ask.body
    return await _change(shop, ask, lambda cart, quotes: adding(cart, body.sku, body.quantity, quotes), [body.sku])


async def set_item(shop: Shop, ask: Ask[SetItem]) -> Answer[contract.Cart]:
    body = ask.body
    return await _change(shop, ask, lambda cart, quotes: setting(cart, body.sku, body.quantity, quotes), [body.sku])


async def remove(shop: Shop, ask: Ask[RemoveItem]) -> Answer[contract.Cart]:
    return await _change(shop, ask, lambda cart, _: removing(cart, ask.body.sku))


async def clear(shop: Shop, ask: Ask[CartOf]) -> Answer[contract.Cart]:
    return await _change(shop, ask, lambda cart, _: clearing(cart))


async def _change(shop: Shop, ask: Ask[Any], decide: Decision, skus: Iterable[str] = ()) -> Answer[contract.Cart]:
    for _ in range(TRIES):
        cart = await shop.find(ask.body.id, ask.identity)
        match_version(ask, cart)
        quotes = await shop.prices.of({*cart.by_sku, *skus})
        edit = decide(cart, quotes)
        if edit is None:
            return shop.answer(cart, quotes)
        try:
            return await shop.mongo.once(ask, partial(_write, shop, ask, cart, edit, quotes))
        except Overtaken:
            continue
    raise CartChanged


async def _write(
    shop: Shop, ask: Ask[Any], cart: Cart, edit: Edit, quotes: Quotes, session: Session | None
) -> Answer[contract.Cart]:
    touch = shop.touch(cart.user_id)
    changed = await shop.carts.change(cart, edit, touch, version=ask.if_match, session=session)
    if changed is None:
        raise Overtaken
    if not changed.by_sku.keys() <= cart.by_sku.keys() | quotes.keys():  # somebody else has put something in
        if session is not None:
            raise Overtaken
        quotes = await shop.prices.of(changed.by_sku)
    return shop.answer(changed, quotes)
