"""Stock set aside for orders, given back, and kept in step with what holds have become."""

import logging

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.catalog import Hold, HoldLost, HoldMismatch, HoldOf, PlaceHold
from contracts.failure import IdempotencyInProgress
from contracts.model import Empty
from infra.foundation.failpoints import crash_point
from infra.messaging.rpc import Answer, Ask
from services.catalog.deps import Shop
from services.catalog.domain import holds as rules
from services.catalog.handlers import repair as repairing
from services.catalog.store import holds, products

EXPIRED_AT_ONCE = 200
SETTLED_AT_ONCE = 1000
TRIES = 5


log = logging.getLogger("souk.catalog")


class _Again(Exception):  # noqa: N818 - not an error: another ask for the same hold was first
    """The hold has to be looked at anew."""


CLASHES = (_Again, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def hold(shop: Shop, ask: Ask[PlaceHold]) -> Answer[Hold]:
    """Every line or none. Locks are taken in one order everywhere, so that clashes are rare; they are tried again."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(CLASHES),
        stop=stop_after_attempt(TRIES),
        wait=wait_random(0, 0.05),
        reraise=True,
    ):
        with attempt:
            return await _hold(shop, ask.body)
    raise IdempotencyInProgress


async def _hold(shop: Shop, body: PlaceHold) -> Answer[Hold]:
    named = {line.product_id for line in body.lines if line.product_id is not None}
    async with shop.db.connection() as connection:
        single = await products.single_variants(connection, list(named)) if named else {}
        units = rules.merged(body.lines, single)
        placed = await holds.place(
            connection, body.hold_id, rules.fingerprint(body.lines), units, body.seconds, shop.currency
        )
    match placed.outcome:
        case "held":
            assert placed.body is not None, "place_hold() has answered"
            crash_point("catalog.held")
            return Answer(placed.body.encode())
        case "short":
            raise rules.short(body.lines, single, units, placed.left)
        case "unknown":
            raise rules.unknown(body.lines, single, placed.unknown)
        case "cancelled":
            raise HoldMismatch("The order of this hold was cancelled")
        case "again":
            raise _Again
    raise HoldMismatch


async def release(shop: Shop, ask: Ask[HoldOf]) -> Empty:
    async with shop.db.connection() as connection:
        await holds.release(connection, ask.body.hold_id)
    crash_point("catalog.released")
    return Empty()


async def keep_stock(shop: Shop) -> bool:
    """Ends holds that have run out, and moves stock after what has become of holds. Whether there may be more.

    Where the law of stock forbids one of them, because less is reserved than it has, the others do not wait for it.
    """
    try:
        async with shop.db.transaction() as tx:
            expired = await holds.expire(tx.connection, EXPIRED_AT_ONCE)
            late = await holds.settle(tx.connection, SETTLED_AT_ONCE)
            tx.say(*(HoldLost(hold_id=lost.hold_id, order_id=lost.order_id) for lost in (*expired, *late)))
    except asyncpg.CheckViolationError:
        log.exception("the stock of a hold is not what it should be: an audit tells which")
        return await repairing.keep_one_by_one(shop, SETTLED_AT_ONCE)
    crash_point("catalog.stock_kept")
    return len(expired) == EXPIRED_AT_ONCE
