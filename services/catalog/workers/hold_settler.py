"""Expires holds and moves their stock.

Handlers only change the status of a hold. This task moves the stock after it: reserved units are sold or returned, and
sold units come back after a cancellation.
"""

from uuid import UUID

import asyncpg

from contracts.catalog import HoldLost
from contracts.repair import StockRepairRequest
from infra.database.postgres import Transaction
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import Request
from services.catalog.deps import CatalogDeps
from services.catalog.store import holds, repair

EXPIRE_BATCH_SIZE = 200
SETTLE_BATCH_SIZE = 1000

log = get_logger("souk.catalog")


async def settle_holds(deps: CatalogDeps) -> bool:
    """Expires due holds and settles the stock of many holds at once. Returns whether there may be more.

    One hold may break the stock constraint, when fewer units are reserved than it holds. Then each hold is settled in
    a transaction of its own, so that the others do not wait for that one.
    """
    try:
        async with deps.db.transaction() as tx:
            expired = await holds.expire(tx.connection, EXPIRE_BATCH_SIZE)
            late = await holds.settle(tx.connection, SETTLE_BATCH_SIZE)
            tx.publish(*(HoldLost(hold_id=lost.hold_id, order_id=lost.order_id) for lost in (*expired, *late)))
    except asyncpg.CheckViolationError:
        log.exception("a hold cannot be settled: run souk verify to find it")
        await settle_one_by_one(deps, SETTLE_BATCH_SIZE)
        return False
    failpoint("catalog.holds_settled")
    return len(expired) == EXPIRE_BATCH_SIZE


async def settle_one_by_one(deps: CatalogDeps, limit: int) -> None:
    """Settles up to `limit` holds, each in its own transaction, in random order so that a broken one blocks none."""
    async with deps.db.connection() as connection:
        hold_ids = await repair.find_unsettled(connection, limit)
    for hold_id in hold_ids:
        await repair_hold(deps, hold_id)


async def repair_hold(
    deps: CatalogDeps, hold_id: UUID, request: Request[StockRepairRequest] | None = None
) -> list[str]:
    """Expires and settles one hold, and returns what was done; nothing where the stock constraint forbids it.

    With an operator's `request` the repair is audited, and the loss of the hold is published again if requested.
    """
    try:
        async with deps.db.transaction() as tx:
            if request is not None:
                tx.audit_action(request, hold_id)
            done = await _expire(tx, hold_id) + await _settle(tx, hold_id)
            if request is not None and request.body.republish and not tx.events:
                done += await _republish(tx, hold_id)
            return done
    except asyncpg.CheckViolationError:
        return []


async def _expire(tx: Transaction, hold_id: UUID) -> list[str]:
    expired = await repair.expire(tx.connection, hold_id)
    if expired is None:
        return []
    tx.publish(HoldLost(hold_id=hold_id, order_id=expired.order_id))
    return ["expired: its time was over"]


async def _settle(tx: Transaction, hold_id: UUID) -> list[str]:
    hold = await repair.lock_hold(tx.connection, hold_id)
    if hold is None or hold.wanted == hold.taken:
        return []
    lost = await repair.settle(tx.connection, hold_id)
    if lost is None:
        return [f"settled: its stock was {hold.taken} and is {hold.wanted}"]
    tx.publish(HoldLost(hold_id=hold_id, order_id=lost.order_id))
    return ["lost: its stock is no longer available"]


async def _republish(tx: Transaction, hold_id: UUID) -> list[str]:
    """Publishes again that a hold is lost.

    Not for a hold that has only expired: its order may have been paid since and got the stock back.
    """
    hold = await repair.lock_hold(tx.connection, hold_id)
    if hold is None or hold.status != "lost":
        return []
    tx.publish(HoldLost(hold_id=hold_id, order_id=hold.order_id))
    return [f"published again: {HoldLost.name}"]
