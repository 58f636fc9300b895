"""The buckets of gift card guesses. Every process of the service takes from the same ones."""

from infra.database.postgres import Connection
from services.payment.domain.gift_card_guesses import WINDOW_SECONDS, GuessBucket

_TAKE = """
INSERT INTO gift_card_guess_bucket AS bucket (key, full_at) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE SET full_at = greatest(bucket.full_at, now()) + make_interval(secs => $2)
"""
_WAIT = """
SELECT extract(epoch FROM full_at - now())::float8 + $2 - $3 FROM gift_card_guess_bucket WHERE key = $1
"""
_PRUNE = "DELETE FROM gift_card_guess_bucket WHERE full_at < now()"


async def take(connection: Connection, bucket: GuessBucket) -> None:
    """Takes one guess from the bucket."""
    await connection.execute(_TAKE, bucket.key, bucket.step_seconds)


async def wait_seconds(connection: Connection, bucket: GuessBucket) -> float:
    """Returns the seconds until the bucket has enough for a guess; 0 or less if it has."""
    return float(await connection.fetchval(_WAIT, bucket.key, bucket.step_seconds, WINDOW_SECONDS) or 0.0)


async def prune(connection: Connection) -> None:
    """Deletes the buckets that are full."""
    await connection.execute(_PRUNE)
