"""Adds, changes and removes the lines of a cart.

Prices are fetched before the write, so that a change whose reply cannot be made is not written.
"""

from typing import Any

from contracts import cart as contract
from contracts.cart import AddCartItem, CartChanged, CartRef, RemoveCartItem, SetCartItem
from infra.database.mongo import Session
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Reply, Request
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
from services.cart.group_writer import CartChange, Decide
from services.cart.handlers.cart_access import MAX_ATTEMPTS, find_cart, require_version
from services.cart.store.carts import WriteConflict
from services.cart.write_cache import cart_key


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
    """Writes a change together with those of other carts, or by itself where it has to be decided on the stored cart.

    `skus` are those whose prices the decision needs besides the prices of the cart's own lines. A change with an
    idempotency key has a transaction of its own, which also stores the reply.
    """
    if request.idempotency_key is not None:
        return await _change_alone(deps, request, decide, skus)
    if reply := await _change_in_group(deps, request, decide, skus):
        return reply
    async with deps.group_writer.turn_of(cart_key(request.body.id, request.identity)):
        return await _change_alone(deps, request, decide, skus)


async def _change_in_group(
    deps: CartDeps, request: Request[Any], decide: Decide, skus: tuple[str, ...]
) -> Reply[contract.Cart] | None:
    """Returns None when the change has to be decided on the stored cart."""
    key = cart_key(request.body.id, request.identity)
    cart = deps.write_cache.get(key)
    if cart is None:
        cart = await find_cart(deps, request.body.id, request.identity)
        deps.write_cache.put(key, cart)
    await deps.prices.cache_quotes({*cart.lines_by_sku, *skus})

    def decide_on_version(known: CartRecord, quotes: QuotesBySku) -> CartEdit | None:
        require_version(request, known)
        return decide(known, quotes)

    written = await deps.group_writer.write(CartChange(key, decide_on_version, skus, deps.write_time))
    return deps.reply(written.cart, written.quotes) if written else None


async def _change_alone(
    deps: CartDeps, request: Request[Any], decide: Decide, skus: tuple[str, ...]
) -> Reply[contract.Cart]:
    """Decides on the stored cart and writes the edit; reads and decides again when another write came first."""
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


async def _write_edit(
    deps: CartDeps, request: Request[Any], cart: CartRecord, edit: CartEdit, quotes: QuotesBySku
) -> Reply[contract.Cart]:
    """Writes the edit, and the reply under the idempotency key; raises `WriteConflict` if the cart has changed."""
    written = cart

    async def write(session: Session | None) -> Reply[contract.Cart]:
        nonlocal written
        written = await deps.carts.apply_edit(
            cart, edit, deps.write_time(cart.user_id), versions=request.if_match, session=session
        )
        known_quotes = quotes
        if not written.lines_by_sku.keys() <= cart.lines_by_sku.keys() | quotes.keys():
            # Another process has added a SKU whose price is not known here. A transaction holds no remote call.
            if session is not None:
                raise WriteConflict
            known_quotes = await deps.prices.quotes_for(written.lines_by_sku)
        return deps.reply(written, known_quotes)

    reply = await deps.mongo.run_idempotent(request, write)
    failpoint("cart.changed")
    deps.write_cache.put(cart_key(request.body.id, request.identity), written)
    return reply
