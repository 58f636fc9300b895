"""Administrators edit price lists and the prices of products beside their variants' own, and read what was in force."""

from collections.abc import Sequence
from uuid import UUID

from contracts.catalog import CurrencyMismatch, ProductUpdated
from contracts.catalog.price_lists import (
    MAX_PRICES_OF_LIST,
    MAX_PRICES_OF_SKU,
    CreatePrice,
    ListPrices,
    PriceHistoryEntry,
    PriceList,
    PriceListFields,
    PriceListRef,
    PriceListUnknown,
    PriceRef,
    ReplacePriceList,
    ScheduledPrice,
)
from contracts.failure import FieldError, InvalidRequest, NotFound
from contracts.model import Empty, ListPage, PageParams
from infra.database.postgres import Transaction
from infra.foundation import pagination
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.price_plan_updates import plan_products
from services.catalog.store import price_lists, products

_AUDITED = {"price", "compare_at_price", "min_quantity", "starts_at", "ends_at", "list_id"}


async def list_price_lists(deps: CatalogDeps, request: Request[PageParams]) -> ListPage[PriceList]:
    """Lists price lists, the oldest first."""
    after = pagination.decode_id_cursor(request.body.after)
    async with deps.db.connection() as connection:
        found = await price_lists.list_lists(connection, after, request.body.limit + 1)
    page, next_cursor = pagination.paginate(found, request.body.limit)
    return ListPage[PriceList](items=page, next=next_cursor)


async def get_price_list(deps: CatalogDeps, request: Request[PriceListRef]) -> PriceList:
    """Reads a price list."""
    async with deps.db.connection() as connection:
        return _require_found(await price_lists.get_list(connection, request.body.id))


async def create_price_list(deps: CatalogDeps, request: Request[PriceListFields]) -> Reply[PriceList]:
    """Creates a price list, without prices yet."""
    async with deps.db.transaction(request) as tx:
        return tx.reply(await price_lists.put_list(tx.connection, new_id(), request.body))


async def replace_price_list(deps: CatalogDeps, request: Request[ReplacePriceList]) -> Reply[PriceList]:
    """Changes a price list, and with its times and priority what is in force of its products."""
    async with deps.db.transaction(request) as tx:
        before = _require_found(await price_lists.lock_list(tx.connection, request.body.id))
        after = await price_lists.put_list(tx.connection, before.id, request.body)
        tx.audit_changes(before=before.model_dump(exclude={"id"}))
        if after != before.model_copy(update={"name": after.name}):
            await _plan(deps, tx, await price_lists.lock_products_of_list(tx.connection, before.id))
        return tx.reply(after)


async def delete_price_list(deps: CatalogDeps, request: Request[PriceListRef]) -> Reply[Empty]:
    """Deletes a price list with its prices."""
    async with deps.db.transaction(request) as tx:
        before = _require_found(await price_lists.lock_list(tx.connection, request.body.id))
        tx.audit_changes(before=before.model_dump(exclude={"id"}))
        product_ids = await price_lists.lock_products_of_list(tx.connection, before.id)
        await price_lists.delete_list(tx.connection, before.id)
        await _plan(deps, tx, product_ids)
        return tx.reply(Empty())


async def list_prices(deps: CatalogDeps, request: Request[ListPrices]) -> ListPage[ScheduledPrice]:
    """Lists the prices of a product beside its variants' own, the oldest first."""
    body = request.body
    after = pagination.decode_id_cursor(body.after)
    async with deps.db.connection() as connection:
        found = await price_lists.list_prices(connection, body.id, after, body.limit + 1)
        if not found and not await price_lists.product_exists(connection, body.id):
            raise NotFound
    page, next_cursor = pagination.paginate(found, body.limit)
    return ListPage[ScheduledPrice](items=page, next=next_cursor)


async def create_price(deps: CatalogDeps, request: Request[CreatePrice]) -> Reply[ScheduledPrice]:
    """Adds a price to a product. The list is locked before the product, as everywhere."""
    body = request.body
    _check_currency(body, deps.currency)
    async with deps.db.transaction(request) as tx:
        if body.list_id is not None and not await price_lists.hold_list(tx.connection, body.list_id):
            detail = "There is no price list with this id."
            raise PriceListUnknown(errors=[FieldError(pointer="/list_id", detail=detail)])
        product = await products.lock(tx.connection, body.id)
        if product is None:
            raise NotFound
        if body.sku not in product.skus:
            detail = "The product has no variant with this SKU."
            raise InvalidRequest(errors=[FieldError(pointer="/sku", detail=detail)])
        await _check_count(tx, body)
        created = await price_lists.insert_price(tx.connection, new_id(), body)
        tx.audit_changes(body.id)
        await _plan(deps, tx, [body.id])
        return tx.reply(created)


async def delete_price(deps: CatalogDeps, request: Request[PriceRef]) -> Reply[Empty]:
    """Deletes a price of a product."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        if await products.lock(tx.connection, body.id) is None:
            raise NotFound
        before = await price_lists.delete_price(tx.connection, body.id, body.price_id)
        if before is None:
            raise NotFound
        tx.audit_changes(body.id, before=before.model_dump(include=_AUDITED))
        await _plan(deps, tx, [body.id])
        return tx.reply(Empty())


async def list_price_history(deps: CatalogDeps, request: Request[ListPrices]) -> ListPage[PriceHistoryEntry]:
    """Lists what was in force of a product, and what was planned, the latest decision first."""
    body = request.body
    (before,) = pagination.decode_cursor(body.after, price_lists.parse_position) if body.after else (None,)
    async with deps.db.connection() as connection:
        found = await price_lists.list_history(connection, body.id, before, body.limit + 1)
        if not found and not await price_lists.product_exists(connection, body.id):
            raise NotFound
    page = pagination.take_fitting([entry for _, entry in found], body.limit)
    next_cursor = pagination.encode_cursor(found[len(page) - 1][0]) if len(found) > len(page) else None
    return ListPage[PriceHistoryEntry](items=page, next=next_cursor)


async def _plan(deps: CatalogDeps, tx: Transaction, product_ids: Sequence[UUID]) -> None:
    """Plans the prices of these products anew, whose rows are locked, and tells that they have changed."""
    await plan_products(tx.connection, product_ids, deps.currency)
    tx.publish(*(ProductUpdated(product_id=product_id) for product_id in product_ids))
    tx.on_commit(deps.price_mover.wake)


def _check_currency(body: CreatePrice, currency: str) -> None:
    errors = [
        FieldError(pointer=f"/{name}/currency", detail=f"The shop sells in {currency}.")
        for name in ("price", "compare_at_price")
        if (money := getattr(body, name)) is not None and money.currency != currency
    ]
    if errors:
        raise CurrencyMismatch(errors=errors)


async def _check_count(tx: Transaction, body: CreatePrice) -> None:
    of_sku, of_list = await price_lists.count_prices(tx.connection, body)
    if of_sku >= MAX_PRICES_OF_SKU:
        detail = f"The SKU has {of_sku} prices; at most {MAX_PRICES_OF_SKU} are possible. Delete old ones."
        raise InvalidRequest(errors=[FieldError(pointer="/sku", detail=detail)])
    if of_list >= MAX_PRICES_OF_LIST:
        detail = f"The list has {of_list} prices; at most {MAX_PRICES_OF_LIST} are possible. Begin another list."
        raise InvalidRequest(errors=[FieldError(pointer="/list_id", detail=detail)])


def _require_found(found: PriceList | None) -> PriceList:
    if found is None:
        raise NotFound
    return found
