"""Reads and adjusts stock."""

import asyncio
from uuid import UUID

from contracts.catalog import (
    AdjustStock,
    ImportInventory,
    InventoryImport,
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
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.inventory_files import DEFAULT_REASON, plan_inventory, read_inventory
from services.catalog.domain.stock import StockRecord, adjust_on_hand
from services.catalog.handlers.uploaded_file_reader import read_upload
from services.catalog.store import stock, stock_movements
from services.catalog.store.imports import MAX_FAULTS, MAX_NOTICES_BYTES
from services.catalog.store.stock import StockChangeSource

MAX_INVENTORY_BYTES = 2 * 1024 * 1024


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
        locked = await stock.lock(tx.connection, [body.sku])
        if not locked:
            raise SkuUnknown
        product_id, before = locked[body.sku]
        after = adjust_on_hand(before, body)
        tx.audit_changes(before={"on_hand": before.on_hand}, after={"on_hand": after.on_hand})
        if after != before:
            source = StockChangeSource(body.reason, request.user.user_id)
            await stock.set_levels(tx.connection, {body.sku: after}, source)
            tx.publish(_adjusted(product_id, body.sku, after))
        return tx.reply(stock.to_contract(body.sku, after))


async def import_inventory(deps: CatalogDeps, request: Request[ImportInventory]) -> Reply[InventoryImport]:
    """Sets the units on hand of the SKUs in a file. Lines that cannot be applied are reported, and cost no other."""
    content = await read_upload(deps, request.body.upload, MAX_INVENTORY_BYTES)
    file = await asyncio.to_thread(read_inventory, content)
    async with deps.db.transaction(request) as tx:
        locked = await stock.lock(tx.connection, list(file.lines))
        plan = plan_inventory(file, {sku: level for sku, (_, level) in locked.items()})
        if plan.changes:
            source = StockChangeSource(DEFAULT_REASON, request.user.user_id)
            reasons = {sku: file.lines[sku].adjustment.reason for sku in plan.changes}
            await stock.set_levels(tx.connection, plan.changes, source, reasons)
            tx.publish(*(_adjusted(locked[sku][0], sku, level) for sku, level in plan.changes.items()))
        tx.audit_changes(after={"updated": len(plan.changes), "failed": len(plan.errors)})
        return tx.reply(
            InventoryImport(
                lines=file.line_count,
                updated=len(plan.changes),
                unchanged=len(plan.unchanged),
                failed=len(plan.errors),
                errors=take_fitting(plan.errors, MAX_FAULTS, MAX_NOTICES_BYTES),
            )
        )


def _adjusted(product_id: UUID, sku: str, level: StockRecord) -> StockAdjusted:
    return StockAdjusted(product_id=product_id, sku=sku, on_hand=level.on_hand, reserved=level.reserved)
