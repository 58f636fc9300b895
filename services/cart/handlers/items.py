"""Adds, changes and removes the lines of a cart.

Prices are fetched before the write, so that a change whose reply cannot be made is not written.
"""

from collections.abc import Callable
from typing import Any

from contracts import cart as contract
from contracts.cart import AddCartItem, CartChanged, CartRef, RemoveCartItem, SetCartItem
from contracts.failure import Fail
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.cart.deps import CartDeps
from services.cart.domain.carts import (
    CartEdit,
    CartRecord,
    QuotesBySku,
    add_units,
    clear_lines,
    remove_line,
    set_units,
)
from services.cart.handlers.cart_access import MAX_ATTEMPTS, find_cart, require_version
from services.cart.store.carts import WriteConflict

Decide = Callable[[CartRecord, QuotesBySku], CartEdit | None]
"""Returns the edit to write, or None when the cart is as requested already; raises a `Fail` to refuse."""


async def add(deps: CartDeps, request: Request[AddCartItem]) -> Reply[contract.Cart]:
    """Adds units of a SKU to a cart."""
    body = request.body

    def decide(cart: CartRecord, quotes: QuotesBySku) -> CartEdit:
        return add_units(cart, body.sku, body.quantity, quotes)

    return await apply_change(deps, request, decide, (body.sku,))


async def set_item(deps: CartDeps, request: Request[SetCartItem]) -> Reply[contract.Cart]:
    """Sets the units of a SKU in a cart; 0 removes the line."""
    body = request.body

    def decide(cart: CartRecord, quotes: QuotesBySku) -> CartEdit | None:
        return set_units(cart, body.sku, body.quantity, quotes)

    return await apply_change(deps, request, decide, (body.sku,))


async def remove(deps: CartDeps, request: Request[RemoveCartItem]) -> Reply[contract.Cart]:
    """Removes a line from a cart."""

    def decide(cart: CartRecord, _quotes: QuotesBySku) -> CartEdit:
        return remove_line(cart, request.body.sku)

    return await apply_change(deps, request, decide)


async def clear(deps: CartDeps, request: Request[CartRef]) -> Reply[contract.Cart]:
    """Removes every line from a cart."""

    def decide(cart: CartRecord, _quotes: QuotesBySku) -> CartEdit | None:
        return clear_lines(cart)

    return await apply_change(deps, request, decide)


async def apply_change(
    deps: CartDeps, request: Request[Any], decide: Decide, skus: tuple[str, ...] = ()
) -> Reply[contract.Cart]:
    """Decides on the stored cart and writes the edit; reads and decides again when another write came first.

    `skus` are those whose prices the decision needs besides the prices of the cart's own lines.
    """
    if reply := await _change_cached_cart(deps, request, decide, skus):
        return reply
    for _ in range(MAX_ATTEMPTS):
        cart = await find_cart(deps, request.body.id, request.identity)
        quotes = await deps.prices.quotes_for({*cart.lines_by_sku, *skus})
        require_version(request, cart)
        edit = decide(cart, quotes)
        if edit is None:
            return deps.reply(cart, quotes)
        try:
            return await _write_edit(deps, request, cart, edit, quotes)
        except WriteConflict:
            continue
    raise CartChanged


async def _change_cached_cart(
    deps: CartDeps, request: Request[Any], decide: Decide, skus: tuple[str, ...]
) -> Reply[contract.Cart] | None:
    """Saves the read of the cart when the cached cart is current; None when it may not be.

    Only a write that succeeds proves the cached cart: its statement checks what the edit requires. A refusal proves
    nothing, so it is decided again on the stored cart.
    """
    cart = deps.write_cache.take(request.body.id, request.identity)
    if cart is None:
        return None
    quotes = await deps.prices.quotes_for({*cart.lines_by_sku, *skus})
    try:
        require_version(request, cart)
        edit = decide(cart, quotes)
    except Fail:
        return None
    if edit is None:
        return None
    try:
        return await _write_edit(deps, request, cart, edit, quotes)
    except WriteConflict:
        return None


async def _write_edit(
    deps: CartDeps, request: Request[Any], cart: CartRecord, edit: CartEdit, quotes: QuotesBySku
) -> Reply[contract.Cart]:
    """Writes the edit, and the reply under the idempotency key; raises `WriteConflict` if the cart has changed."""

    async def write(session: Session | None) -> Reply[contract.Cart]:
        changed = await deps.carts.apply_edit(
            cart, edit, deps.write_time(cart.user_id), versions=request.if_match, session=session
        )
        known_quotes = quotes
        if not changed.lines_by_sku.keys() <= cart.lines_by_sku.keys() | quotes.keys():
            # Another process has added a SKU whose price is not known here. A transaction holds no remote call.
            if session is not None:
                raise WriteConflict
            known_quotes = await deps.prices.quotes_for(changed.lines_by_sku)
        deps.write_cache.put(request.body.id, request.identity, changed)
        return deps.reply(changed, known_quotes)

    reply = await deps.mongo.run_idempotent(request, write)
    failpoint("cart.changed")
    return reply
