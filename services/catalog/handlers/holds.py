"""Holds stock for orders and releases it."""

import asyncpg
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from contracts.catalog import Hold, HoldMismatch, HoldRef, PlaceHold
from contracts.failure import IdempotencyInProgress
from contracts.model import Empty
from infra.foundation.failpoints import failpoint
from infra.messaging.rpc_client import Reply, Request
from services.catalog.deps import CatalogDeps
from services.catalog.domain.hold_lines import (
    fingerprint,
    guest_limit_error,
    merge_lines,
    out_of_stock_error,
    unknown_skus_error,
)
from services.catalog.store import holds, products

MAX_ATTEMPTS = 5
MAX_RETRY_DELAY_SECONDS = 0.05


class _ConcurrentHold(Exception):  # noqa: N818 - not an error: the next attempt finds that hold
    """Another request has placed the same hold at the same time."""


RETRIED_ERRORS = (_ConcurrentHold, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def hold(deps: CatalogDeps, request: Request[PlaceHold]) -> Reply[Hold]:
    """Prices and holds every line, or none. The same hold id returns the same hold.

    All statements lock stock in the order of SKUs, so conflicts are rare; they are tried again.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(RETRIED_ERRORS),
        stop=stop_after_attempt(MAX_ATTEMPTS),
        wait=wait_random(0, MAX_RETRY_DELAY_SECONDS),
        reraise=True,
    ):
        with attempt:
            return await _place_hold(deps, request.body)
    raise IdempotencyInProgress


async def _place_hold(deps: CatalogDeps, body: PlaceHold) -> Reply[Hold]:
    product_ids = {line.product_id for line in body.lines if line.product_id is not None}
    async with deps.db.connection() as connection:
        single_skus = await products.find_single_skus(connection, list(product_ids)) if product_ids else {}
        units = merge_lines(body.lines, single_skus)
        result = await holds.place(
            connection, body.hold_id, fingerprint(body.lines), units, body.seconds, deps.currency, body.guest_limit
        )
    match result.outcome:
        case "held":
            assert result.body is not None, "place_hold() returns the hold"
            failpoint("catalog.held")
            return Reply(result.body.encode())
        case "short":
            raise out_of_stock_error(body.lines, single_skus, units, result.available)
        case "limited":
            raise guest_limit_error(body.lines, single_skus, units, result.available)
        case "unknown":
            raise unknown_skus_error(body.lines, single_skus, result.unknown_skus)
        case "cancelled":
            raise HoldMismatch("The order of this hold was cancelled. Place a hold with another id.")
        case "again":
            raise _ConcurrentHold
    raise HoldMismatch


async def release(deps: CatalogDeps, request: Request[HoldRef]) -> Empty:
    """Returns the stock of a hold that has no order."""
    async with deps.db.connection() as connection:
        await holds.release(connection, request.body.hold_id)
    failpoint("catalog.released")
    return Empty()
