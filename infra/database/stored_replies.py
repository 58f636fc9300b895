"""The idempotency table: the reply that each request with an idempotency key was given, stored with its effect."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from contracts.event import Event
from infra.database import outbox
from infra.foundation import trace
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, IdempotencyKey, StoredReply

FORGET_BATCH_SIZE = 2000

_FIND = (
    "SELECT fingerprint, answer FROM idempotency WHERE digest = $1 AND created_at > now() - make_interval(secs => $2)"
)
_STORE_TEMPLATE = """
INSERT INTO idempotency (digest, fingerprint, answer, owner) VALUES ({}, {}, {}, {})
ON CONFLICT (digest) DO UPDATE
    SET fingerprint = excluded.fingerprint, answer = excluded.answer, owner = excluded.owner, created_at = now()
    WHERE idempotency.created_at <= now() - make_interval(secs => {})
RETURNING true
"""
_STORE = _STORE_TEMPLATE.format("$1", "$2", "$3", "$4", "$5")
_STORE_WITH_EVENTS = f"""
WITH events AS ({outbox.INSERT_EVENTS_SQL}), stored AS ({_STORE_TEMPLATE.format("$8", "$9", "$10", "$11", "$12")})
SELECT true FROM stored
"""  # noqa: S608 - constants
"""How most requests end: events and reply in one round trip."""

# One batch of all replies in the order of their digests: no index finds the replies that mention a person.
_FORGET = """
WITH batch AS (SELECT digest, owner, answer FROM idempotency WHERE digest > $1 ORDER BY digest LIMIT $2),
     deleted AS (
         DELETE FROM idempotency USING batch WHERE idempotency.digest = batch.digest AND (
             batch.owner = $3
             OR EXISTS (SELECT FROM unnest($4::bytea[]) AS identifier WHERE position(identifier IN batch.answer) > 0)
         )
     )
SELECT digest FROM batch ORDER BY digest DESC LIMIT 1
"""
_PRUNE = "DELETE FROM idempotency WHERE created_at < now() - make_interval(secs => $1)"


async def find(connection: Any, key: IdempotencyKey) -> StoredReply | None:
    """The reply stored under the key; None when there is none or its retention is over."""
    row = await connection.fetchrow(_FIND, key.digest, REPLY_RETENTION_SECONDS)
    return key.unseal(row["fingerprint"], row["answer"]) if row else None


async def store(
    connection: Any, key: IdempotencyKey, reply: StoredReply, events: Sequence[tuple[Event, trace.Trace]] = ()
) -> bool:
    """Stores a reply, together with events in the outbox; False when the key already has a reply.

    Waits for a transaction that stores a reply under the same key, at most for the lock timeout.
    """
    columns = (key.digest, key.fingerprint, key.seal(reply), key.owner, REPLY_RETENTION_SECONDS)
    if events:
        return bool(await connection.fetchval(_STORE_WITH_EVENTS, *outbox.event_columns(events), *columns))
    return bool(await connection.fetchval(_STORE, *columns))


async def forget_batch(connection: Any, after: bytes, owner: UUID, identifiers: Sequence[bytes]) -> bytes | None:
    """Looks at one batch of replies and deletes those given to the owner or containing an identifier.

    Returns the digest to go on after, or None when no reply is left to look at.
    """
    last: bytes | None = await connection.fetchval(_FORGET, after, FORGET_BATCH_SIZE, owner, identifiers)
    return last


async def prune(connection: Any) -> None:
    """Deletes the replies whose retention is over."""
    await connection.execute(_PRUNE, REPLY_RETENTION_SECONDS)
