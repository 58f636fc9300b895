"""Lines come, change and go. Prices are asked for before the write, so that what cannot be answered is not done."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from contracts import cart as contract
from contracts.cart import AddCartItem, CartChanged, CartRef, RemoveCartItem, SetCartItem
from contracts.failure import Fail
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.cart.deps import MAX_ATTEMPTS, CartDeps, WriteConflict, require_version
from services.cart.domain.carts import CartEdit, CartRecord, QuotesBySku, add_units, clear_lines, remove_line, set_units

Decision = Callable[[CartRecord, QuotesBySku], CartEdit | None]
"""Raises why not; None when everything is so already."""


async def add(shop: CartDeps, ask: Request[AddCartItem]) -> Reply[contract.Cart]:
    body = ask.body
    change = Change(shop, ask, lambda cart, quotes: add_units(cart, body.sku, body.quantity, quotes), (body.sku,))
    return await change.made()


async def set_item(shop: CartDeps, ask: Request[SetCartItem]) -> Reply[contract.Cart]:
    body = ask.body
    change = Change(shop, ask, lambda cart, quotes: set_units(cart, body.sku, body.quantity, quotes), (body.sku,))
    return await change.made()


async def remove(shop: CartDeps, ask: Request[RemoveCartItem]) -> Reply[contract.Cart]:
    return await Change(shop, ask, lambda cart, _: remove_line(cart, ask.body.sku)).made()


async def clear(shop: CartDeps, ask: Request[CartRef]) -> Reply[contract.Cart]:
    return await Change(shop, ask, lambda cart, _: clear_lines(cart)).made()


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one cart: decided on a guess or on what is read, and done if it still holds when it is written."""

    shop: CartDeps
    ask: Request[Any]
    decide: Decision
    skus: tuple[str, ...] = ()
    """Whose prices the decision needs, besides those of the cart's lines."""

    async def made(self) -> Reply[contract.Cart]:
        if answer := await self._on_a_guess():
            return answer
        for _ in range(MAX_ATTEMPTS):
            cart = await self.shop.find_cart(self.ask.body.id, self.ask.identity)
            quotes = await self._quotes(cart)
            edit = self._decided(cart, quotes)
            if edit is None:
                return self.shop.reply(cart, quotes)
            if answer := await self._written(cart, edit, quotes):
                return answer
        raise CartChanged

    async def _on_a_guess(self) -> Reply[contract.Cart] | None:
        """Only a write that found what it asks for proves a guess; a refusal does not."""
        guess = self.shop.write_cache.take(self.ask.body.id, self.ask.identity)
        if guess is None:
            return None
        quotes = await self._quotes(guess)
        try:
            edit = self._decided(guess, quotes)
        except Fail:
            return None
        return await self._written(guess, edit, quotes) if edit else None

    async def _quotes(self, cart: CartRecord) -> QuotesBySku:
        return await self.shop.prices.quotes_for({*cart.lines_by_sku, *self.skus})

    def _decided(self, cart: CartRecord, quotes: QuotesBySku) -> CartEdit | None:
        require_version(self.ask, cart)
        return self.decide(cart, quotes)

    async def _written(self, cart: CartRecord, edit: CartEdit, quotes: QuotesBySku) -> Reply[contract.Cart] | None:
        try:
            answer = await self.shop.mongo.run_idempotent(self.ask, partial(self._write, cart, edit, quotes))
        except WriteConflict:
            return None
        failpoint("cart.changed")
        return answer

    async def _write(
        self, cart: CartRecord, edit: CartEdit, quotes: QuotesBySku, session: Session | None
    ) -> Reply[contract.Cart]:
        touch = self.shop.write_time(cart.user_id)
        changed = await self.shop.carts.apply_edit(cart, edit, touch, version=self.ask.if_match, session=session)
        if changed is None:
            raise WriteConflict
        if (
            not changed.lines_by_sku.keys() <= cart.lines_by_sku.keys() | quotes.keys()
        ):  # somebody else has put something in
            if session is not None:
                raise WriteConflict
            quotes = await self._quotes(changed)
        self.shop.write_cache.put(self.ask.body.id, self.ask.identity, changed)
        return self.shop.reply(changed, quotes)
