"""Stock set aside for orders, given back, and kept in step with what holds have become."""

import logging

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.catalog import Hold, HoldLost, HoldMismatch, HoldRef, PlaceHold
from contracts.failure import IdempotencyInProgress
from contracts.model import Empty
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain import holds as rules
from services.catalog.handlers import repair as repairing
from services.catalog.store import holds, products

EXPIRE_BATCH_SIZE = 200
SETTLE_BATCH_SIZE = 1000
MAX_ATTEMPTS = 5


log = logging.getLogger("souk.catalog")


class _HoldExists(Exception):  # noqa: N818 - not an error: another ask for the same hold was first
    """The hold has to be looked at anew."""


RETRIED_ERRORS = (_HoldExists, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def hold(shop: CatalogDeps, ask: Request[PlaceHold]) -> Reply[Hold]:
    """Every line or none. Locks are taken in one order everywhere, so that clashes are rare; they are tried again."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(RETRIED_ERRORS),
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=wait_random(0, 0.05),
        reraise=True,
    ):
        with attempt:
            return await _hold(shop, ask.body)
    raise IdempotencyInProgress


async def _hold(shop: CatalogDeps, body: PlaceHold) -> Reply[Hold]:
    named = {line.product_id for line in body.lines if line.product_id is not None}
    async with shop.db.connection() as connection:
        single = await products.find_single_skus(connection, list(named)) if named else {}
        units = rules.merge_lines(body.lines, single)
        placed = await holds.place(
            connection, body.hold_id, rules.fingerprint(body.lines), units, body.seconds, shop.currency
        )
    match placed.outcome:
        case "held":
            assert placed.body is not None, "place_hold() has answered"
            failpoint("catalog.held")
            return Reply(placed.body.encode())
        case "short":
            raise rules.out_of_stock_error(body.lines, single, units, placed.available)
        case "unknown":
            raise rules.unknown_skus_error(body.lines, single, placed.unknown_skus)
        case "cancelled":
            raise HoldMismatch("The order of this hold was cancelled")
        case "again":
            raise _HoldExists
    raise HoldMismatch


async def release(shop: CatalogDeps, ask: Request[HoldRef]) -> Empty:
    async with shop.db.connection() as connection:
        await holds.release(connection, ask.body.hold_id)
    failpoint("catalog.released")
    return Empty()


async def settle_holds(shop: CatalogDeps) -> bool:
    """Ends holds that have run out, and moves stock after what has become of holds. Whether there may be more.

    Where the law of stock forbids one of them, because less is reserved than it has, the others do not wait for it.
    """
    try:
        async with shop.db.transaction() as tx:
            expired = await holds.expire(tx.connection, EXPIRE_BATCH_SIZE)
            late = await holds.settle(tx.connection, SETTLE_BATCH_SIZE)
            tx.publish(*(HoldLost(hold_id=lost.hold_id, order_id=lost.order_id) for lost in (*expired, *late)))
    except asyncpg.CheckViolationError:
        log.exception("the stock of a hold is not what it should be: an audit tells which")
        return await repairing.settle_one_by_one(shop, SETTLE_BATCH_SIZE)
    failpoint("catalog.stock_kept")
    return len(expired) == EXPIRE_BATCH_SIZE
