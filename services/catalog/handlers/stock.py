"""Reads and adjusts stock."""

from contracts.catalog import (
    AdjustStock,
    ListStock,
    ListStockMovements,
    SkuRef,
    SkuUnknown,
    StockAdjusted,
    StockLevel,
    StockMovement,
)
from contracts.model import ListPage
from infra.foundation.pagination import decode_cursor, encode_cursor, take_fitting
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.stock import StockRecord, adjust_on_hand
from services.catalog.store import stock, stock_movements
from services.catalog.store.stock import StockChangeSource


async def get_stock(deps: CatalogDeps, request: Request[SkuRef]) -> StockLevel:
    """Reads the stock of a SKU."""
    async with deps.db.connection() as connection:
        level = await stock.get(connection, request.body.sku)
    if level is None:
        raise SkuUnknown
    return level


async def list_stock(deps: CatalogDeps, request: Request[ListStock]) -> ListPage[StockLevel]:
    """Lists the stock of SKUs in their order, optionally only where few units are available."""
    body = request.body
    (after,) = decode_cursor(body.after, str) if body.after else ("",)
    async with deps.db.connection() as connection:
        levels = await stock.list_page(connection, after.replace("\0", ""), body.below, body.limit + 1)
    shown = take_fitting(levels, body.limit)
    return ListPage(items=shown, next=encode_cursor(shown[-1].sku) if len(levels) > len(shown) else None)


async def list_movements(deps: CatalogDeps, request: Request[ListStockMovements]) -> ListPage[StockMovement]:
    """Lists what changed the units on hand of a SKU, the newest first."""
    body = request.body
    before = stock_movements.decode_position(body.after) if body.after else None
    async with deps.db.connection() as connection:
        movements = await stock_movements.list_page(connection, body.sku, before, body.limit + 1)
    if movements is None:
        raise SkuUnknown
    shown = take_fitting([movement.contract for movement in movements], body.limit)
    last = movements[len(shown) - 1].position if len(movements) > len(shown) else None
    return ListPage(items=shown, next=last.cursor if last else None)


async def adjust_stock(deps: CatalogDeps, request: Request[AdjustStock]) -> Reply[StockLevel]:
    """Sets the units on hand of a SKU, or changes them by a difference."""
    body = request.body
    async with deps.db.transaction(request) as tx:
        locked = await stock.lock(tx.connection, body.sku)
        if locked is None:
            raise SkuUnknown
        product_id, before = locked
        on_hand = adjust_on_hand(before, body)
        tx.audit_changes(before={"on_hand": before.on_hand}, after={"on_hand": on_hand})
        if on_hand != before.on_hand:
            source = StockChangeSource(body.reason, request.user.user_id)
            await stock.set_on_hand(tx.connection, {body.sku: on_hand}, source)
            tx.publish(StockAdjusted(product_id=product_id, sku=body.sku, on_hand=on_hand, reserved=before.reserved))
        return tx.reply(stock.to_contract(body.sku, StockRecord(on_hand, before.reserved)))
