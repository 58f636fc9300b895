"""Lines come, change and go. Prices are asked for before the write, so that what cannot be answered is not done."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from contracts import cart as contract
from contracts.cart import AddItem, CartChanged, CartOf, RemoveItem, SetItem
from contracts.failure import Fail
from infra.database.mongo import Session
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Answer, Ask
from services.cart.deps import TRIES, Overtaken, Shop, match_version
from services.cart.domain.carts import Cart, Edit, Quotes, adding, clearing, removing, setting

Decision = Callable[[Cart, Quotes], Edit | None]
"""Raises why not; None when everything is so already."""


async def add(shop: Shop, ask: Ask[AddItem]) -> Answer[contract.Cart]:
    body = ask.body
    change = Change(shop, ask, lambda cart, quotes: adding(cart, body.sku, body.quantity, quotes), (body.sku,))
    return await change.made()


async def set_item(shop: Shop, ask: Ask[SetItem]) -> Answer[contract.Cart]:
    body = ask.body
    change = Change(shop, ask, lambda cart, quotes: setting(cart, body.sku, body.quantity, quotes), (body.sku,))
    return await change.made()


async def remove(shop: Shop, ask: Ask[RemoveItem]) -> Answer[contract.Cart]:
    return await Change(shop, ask, lambda cart, _: removing(cart, ask.body.sku)).made()


async def clear(shop: Shop, ask: Ask[CartOf]) -> Answer[contract.Cart]:
    return await Change(shop, ask, lambda cart, _: clearing(cart)).made()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one cart: decided on a guess or on what is read, and done if it still holds when it is written."""

    shop: Shop
    ask: Ask[Any]
    decide: Decision
    skus: tuple[str, ...] = ()
    """Whose prices the decision needs, besides those of the cart's lines."""

    async def made(self) -> Answer[contract.Cart]:
        if answer := await self._on_a_guess():
            return answer
        for _ in range(TRIES):
            cart = await self.shop.find(self.ask.body.id, self.ask.identity)
            quotes = await self._quotes(cart)
            edit = self._decided(cart, quotes)
            if edit is None:
                return self.shop.answer(cart, quotes)
            if answer := await self._written(cart, edit, quotes):
                return answer
        raise CartChanged

    async def _on_a_guess(self) -> Answer[contract.Cart] | None:
        """Only a write that found what it asks for proves a guess; a refusal does not."""
        guess = self.shop.recent.take(self.ask.body.id, self.ask.identity)
        if guess is None:
            return None
        quotes = await self._quotes(guess)
        try:
            edit = self._decided(guess, quotes)
        except Fail:
            return None
        return await self._written(guess, edit, quotes) if edit else None

    async def _quotes(self, cart: Cart) -> Quotes:
        return await self.shop.prices.of({*cart.by_sku, *self.skus})

    def _decided(self, cart: Cart, quotes: Quotes) -> Edit | None:
        match_version(self.ask, cart)
        return self.decide(cart, quotes)

    async def _written(self, cart: Cart, edit: Edit, quotes: Quotes) -> Answer[contract.Cart] | None:
        try:
            answer = await self.shop.mongo.once(self.ask, partial(self._write, cart, edit, quotes))
        except Overtaken:
            return None
        crash_point("cart.changed")
        return answer

    async def _write(self, cart: Cart, edit: Edit, quotes: Quotes, session: Session | None) -> Answer[contract.Cart]:
        touch = self.shop.touch(cart.user_id)
        changed = await self.shop.carts.change(cart, edit, touch, version=self.ask.if_match, session=session)
        if changed is None:
            raise Overtaken
        if not changed.by_sku.keys() <= cart.by_sku.keys() | quotes.keys():  # somebody else has put something in
            if session is not None:
                raise Overtaken
            quotes = await self._quotes(changed)
        self.shop.recent.put(self.ask.body.id, self.ask.identity, changed)
        return self.shop.answer(changed, quotes)
