"""Putting stock right, on an operator's word: what has one right answer, and that once however often it is asked.

Holds say what is reserved and sold, so stock follows them. What is on hand is what was counted: where its movements say
something else, somebody has to count.
"""

from uuid import UUID

import asyncpg

from contracts.catalog import HoldLost
from contracts.repair import RepairedItem, RepairedSku, StockRepairRequest, StockRepairResult
from infra.database.postgres import Transaction
from infra.messaging.rpc import Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.stock import correct_reserved
from services.catalog.store import repair as repairing


async def repair(shop: CatalogDeps, ask: Request[StockRepairRequest]) -> StockRepairResult:
    """SKUs first: a hold may only be settled where as much is reserved as it holds."""
    skus = await _mend_skus(shop, ask) if ask.body.skus else []
    items = [RepairedItem(id=hold_id, did=await _repair_hold(shop, hold_id, ask)) for hold_id in ask.body.ids]
    return StockRepairResult(items=items, skus=skus)


async def settle_one_by_one(shop: CatalogDeps, limit: int) -> bool:
    """What the stock keeper does, each hold by itself; any of them, so that those which cannot be do not come first."""
    async with shop.db.connection() as connection:
        hold_ids = await repairing.find_unsettled(connection, limit)
    for hold_id in hold_ids:
        await _repair_hold(shop, hold_id)
    return False


async def _repair_hold(shop: CatalogDeps, hold_id: UUID, ask: Request[StockRepairRequest] | None = None) -> list[str]:
    """What the stock keeper would do with it; nothing where the law of stock forbids it."""
    try:
        async with shop.db.transaction() as tx:
            if ask is not None:
                tx.audit_action(ask, hold_id)
            did = await _expire(tx, hold_id) + await _settle(tx, hold_id)
            return did + (await _say(tx, hold_id) if ask is not None and ask.body.say and not tx.events else [])
    except asyncpg.CheckViolationError:
        return []


async def _expire(tx: Transaction, hold_id: UUID) -> list[str]:
    expired = await repairing.expire(tx.connection, hold_id)
    if expired is None:
        return []
    tx.publish(HoldLost(hold_id=hold_id, order_id=expired.order_id))
    return ["expired: it has run out"]


async def _settle(tx: Transaction, hold_id: UUID) -> list[str]:
    found = await repairing.lock_hold(tx.connection, hold_id)
    if found is None or found.wanted == found.taken:
        return []
    lost = await repairing.settle(tx.connection, hold_id)
    if lost is None:
        return [f"settled: its stock was {found.taken} and is {found.wanted}"]
    tx.publish(HoldLost(hold_id=hold_id, order_id=lost.order_id))
    return ["lost: its stock is not to be had any more"]


async def _say(tx: Transaction, hold_id: UUID) -> list[str]:
    """Of one that has only run out nothing is said again: its order may have been paid since, and have it back."""
    found = await repairing.lock_hold(tx.connection, hold_id)
    if found is None or found.status != "lost":
        return []
    tx.publish(HoldLost(hold_id=hold_id, order_id=found.order_id))
    return [f"said again: {HoldLost.name}"]


async def _mend_skus(shop: CatalogDeps, ask: Request[StockRepairRequest]) -> list[RepairedSku]:
    skus = ask.body.skus
    async with shop.db.transaction() as tx:
        tx.audit_action(ask)
        levels = await repairing.lock_stock(tx.connection, skus)
        changes = correct_reserved(levels, await repairing.count_held(tx.connection, skus))
        if changes:
            await repairing.set_reserved(tx.connection, changes)
    return [RepairedSku(sku=sku, did=[f"{changes[sku]} are reserved"] if sku in changes else []) for sku in skus]
