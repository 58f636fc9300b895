"""Repairs holds and reserved stock for an operator. Repeating a repair changes nothing more.

Reserved and sold units follow from the holds, so they can be corrected. Units on hand cannot: where they differ from
the sum of stock movements, they have to be counted.
"""

from contracts.repair import RepairedItem, RepairedSku, StockRepairRequest, StockRepairResult
from infra.messaging.rpc_client import Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.stock import correct_reserved
from services.catalog.store import repair as repair_store
from services.catalog.workers.hold_settler import repair_hold


async def repair(deps: CatalogDeps, request: Request[StockRepairRequest]) -> StockRepairResult:
    """Corrects the reserved units of the SKUs first: a hold can be settled only where its units are reserved."""
    skus = await _repair_skus(deps, request) if request.body.skus else []
    items = [RepairedItem(id=hold_id, did=await repair_hold(deps, hold_id, request)) for hold_id in request.body.ids]
    return StockRepairResult(items=items, skus=skus)


async def _repair_skus(deps: CatalogDeps, request: Request[StockRepairRequest]) -> list[RepairedSku]:
    skus = request.body.skus
    async with deps.db.transaction() as tx:
        tx.audit_action(request)
        stock = await repair_store.lock_stock(tx.connection, skus)
        changes = correct_reserved(stock, await repair_store.count_held(tx.connection, skus))
        if changes:
            await repair_store.set_reserved(tx.connection, changes)
    return [
        RepairedSku(sku=sku, did=[f"reserved units set to {changes[sku]}"] if sku in changes else []) for sku in skus
    ]
