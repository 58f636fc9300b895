"""The buckets of guests' orders. Every process of the service takes from the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from infra.database.postgres import Connection
from services.order.domain.guest_limits import GuestOrderBucket, LimitKind

SLACK_SECONDS = 0.001
"""Granted, because steps are rounded to microseconds."""

# `now()` is when the transaction began.
_TAKE = """
INSERT INTO guest_order_bucket AS bucket (key, full_at)
SELECT key, now() + make_interval(secs => step) FROM unnest($1::bytea[], $2::float8[]) AS taken (key, step)
ON CONFLICT (key) DO UPDATE SET full_at = greatest(bucket.full_at, now()) + (excluded.full_at - now())
WHERE greatest(bucket.full_at, now()) + (excluded.full_at - now()) <= now() + make_interval(secs => $3)
RETURNING true
"""
_WAITS = """
SELECT taken.position, extract(epoch FROM bucket.full_at - now())::float8 + taken.step - $3 AS wait
FROM unnest($1::bytea[], $2::float8[]) WITH ORDINALITY AS taken (key, step, position)
JOIN guest_order_bucket AS bucket ON bucket.key = taken.key
ORDER BY 1
"""
_PRUNE = "DELETE FROM guest_order_bucket WHERE full_at < now()"


@dataclass(frozen=True, slots=True)
class EmptyBucket:
    """A bucket that has nothing left, and the seconds until it has enough for one order."""

    kind: LimitKind
    wait_seconds: float


async def take(connection: Connection, buckets: Sequence[GuestOrderBucket], window_seconds: float) -> bool:
    """Takes one order from each bucket; False if one has nothing left, then the caller rolls back."""
    columns = [bucket.key for bucket in buckets], [bucket.step_seconds for bucket in buckets]
    return len(await connection.fetch(_TAKE, *columns, window_seconds + SLACK_SECONDS)) == len(buckets)


async def find_empty(
    connection: Connection, buckets: Sequence[GuestOrderBucket], window_seconds: float
) -> EmptyBucket | None:
    """Returns the first bucket with too little for one more order; takes nothing."""
    columns = [bucket.key for bucket in buckets], [bucket.step_seconds for bucket in buckets]
    for row in await connection.fetch(_WAITS, *columns, window_seconds):
        if row["wait"] > SLACK_SECONDS:
            return EmptyBucket(buckets[row["position"] - 1].kind, row["wait"])
    return None


async def prune(connection: Connection) -> None:
    """Deletes the buckets that are full."""
    await connection.execute(_PRUNE)
