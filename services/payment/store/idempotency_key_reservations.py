"""The id reserved under an idempotency key, before a payment or refund exists under it."""

from uuid import UUID

from contracts.failure import IdempotencyKeyReused
from infra.database.postgres import Connection
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, IdempotencyKey

_RESERVE = """
INSERT INTO reservation AS known (digest, fingerprint, thing_id) VALUES ($1, $2, $3)
ON CONFLICT (digest) DO UPDATE SET
    fingerprint = CASE WHEN known.created_at > $4 THEN known.fingerprint ELSE excluded.fingerprint END,
    thing_id = CASE WHEN known.created_at > $4 THEN known.thing_id ELSE excluded.thing_id END,
    created_at = CASE WHEN known.created_at > $4 THEN known.created_at ELSE now() END
RETURNING fingerprint, thing_id
""".replace("$4", "now() - make_interval(secs => $4)")
_PRUNE = "DELETE FROM reservation WHERE created_at < now() - make_interval(secs => $1)"


async def reserve(connection: Connection, key: IdempotencyKey, resource_id: UUID) -> UUID:
    """Returns the id of the one resource that this key creates: `resource_id`, or that of an earlier request.

    Raises `IdempotencyKeyReused` when the earlier request was a different one.
    """
    row = await connection.fetchrow(_RESERVE, key.digest, key.fingerprint, resource_id, REPLY_RETENTION_SECONDS)
    assert row is not None, "the statement returns a row in either case"
    if row["fingerprint"] != key.fingerprint:
        raise IdempotencyKeyReused
    reserved: UUID = row["thing_id"]
    return reserved


async def prune(connection: Connection) -> None:
    """Deletes ids whose key expired long ago."""
    await connection.execute(_PRUNE, 2 * REPLY_RETENTION_SECONDS)
