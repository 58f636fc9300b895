"""The idempotency table: the reply that each request with an idempotency key was given, stored with its effect."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from contracts.event import Event
from infra.database import outbox
from infra.foundation import trace
from infra.messaging.idempotency import REPLY_RETENTION_SECONDS, IdempotencyKey, StoredReply

FORGET_BATCH_SIZE = 2000

_FIND = """
SELECT digest, fingerprint, answer FROM idempotency
WHERE digest = ANY($1::bytea[]) AND created_at > now() - make_interval(secs => $2)
"""
_STORE_TEMPLATE = """
INSERT INTO idempotency (digest, fingerprint, answer, owner)
SELECT * FROM unnest({}::bytea[], {}::bytea[], {}::bytea[], {}::uuid[])
ON CONFLICT (digest) DO UPDATE
    SET fingerprint = excluded.fingerprint, answer = excluded.answer, owner = excluded.owner, created_at = now()
    WHERE idempotency.created_at <= now() - make_interval(secs => {})
RETURNING true
"""
_STORE = f"""
WITH stored AS ({_STORE_TEMPLATE.format("$1", "$2", "$3", "$4", "$5")})
SELECT count(*) FROM stored
"""  # noqa: S608 - constants
_STORE_WITH_EVENTS = f"""
WITH events AS ({outbox.INSERT_EVENTS_SQL}), stored AS ({_STORE_TEMPLATE.format("$8", "$9", "$10", "$11", "$12")})
SELECT count(*) FROM stored
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


class SealedReply(NamedTuple):
    """A stored reply, and the hash of the request that it replies to."""

    fingerprint: bytes
    answer: bytes


async def find_all(connection: Any, digests: Collection[bytes]) -> dict[bytes, SealedReply]:
    """Returns the replies stored under the digests of keys, unless their retention is over."""
    rows = await connection.fetch(_FIND, list(digests), REPLY_RETENTION_SECONDS)
    return {row["digest"]: SealedReply(row["fingerprint"], row["answer"]) for row in rows}


async def store_all(
    connection: Any,
    replies: Sequence[tuple[IdempotencyKey, StoredReply]],
    events: Sequence[tuple[Event, trace.Trace]] = (),
) -> int:
    """Stores replies, together with events in the outbox; returns how many keys had no reply yet.

    Waits for a transaction that stores a reply under a same key, at most for the lock timeout. The keys are sorted, so
    that two transactions never wait for each other.
    """
    ordered = sorted(replies, key=lambda reply: reply[0].digest)
    columns = (
        [key.digest for key, _ in ordered],
        [key.fingerprint for key, _ in ordered],
        [key.seal(reply) for key, reply in ordered],
        [key.owner for key, _ in ordered],
        REPLY_RETENTION_SECONDS,
    )
    if events:
        return int(await connection.fetchval(_STORE_WITH_EVENTS, *outbox.event_columns(events), *columns))
    return int(await connection.fetchval(_STORE, *columns))


async def forget_batch(connection: Any, after: bytes, owner: UUID, identifiers: Sequence[bytes]) -> bytes | None:
    """Looks at one batch of replies and deletes those given to the owner or containing an identifier.

    Returns the digest to go on after, or None when no reply is left to look at.
    """
    last: bytes | None = await connection.fetchval(_FORGET, after, FORGET_BATCH_SIZE, owner, identifiers)
    return last


async def prune(connection: Any) -> None:
    """Deletes the replies whose retention is over."""
    await connection.execute(_PRUNE, REPLY_RETENTION_SECONDS)
