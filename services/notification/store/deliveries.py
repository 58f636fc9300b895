"""All SQL of notification: deliveries queued, leased, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts.notification import Notification, NotificationChannel, NotificationKind
from infra.database.postgres import Connection
from infra.foundation import trace
from services.notification.domain.deliveries import DeliveryOutcome, MailDelivery, OrderFacts

LAST_ID = UUID(int=2**128 - 1)

# Says a thing about an order once, however often the event comes, and mails a token once.
_QUEUE = """
INSERT INTO delivery (id, kind, channel, order_id, user_id, subject, facts, traceparent, request_id, proof_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT DO NOTHING
"""
# Leases what has been due the longest: nobody else takes it up before the lease is over, and then whoever is there.
_CLAIM = """
UPDATE delivery SET due_at = clock_timestamp() + make_interval(secs => $2)
WHERE id = ANY(ARRAY(
    SELECT id FROM delivery WHERE status = 'queued' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
))
RETURNING id, kind, order_id, user_id, subject, facts, attempts, traceparent, request_id, due_at, proof_id
"""
# Writes down a whole batch, save what was leased to somebody else meanwhile: `due_at` is the lease.
_CONCLUDE = """
UPDATE delivery SET
    status = outcome.status,
    attempts = outcome.attempts,
    reason = outcome.reason,
    due_at = now() + make_interval(secs => outcome.delay),
    sent_at = CASE WHEN outcome.status = 'sent' THEN now() END
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[], $5::text[], $6::float8[])
    AS outcome (id, lease, status, attempts, reason, delay)
WHERE delivery.id = outcome.id AND delivery.due_at = outcome.lease AND delivery.status = 'queued'
"""
# What was mailed of an order is counted on by the audit, as ids; what was mailed of the account is not.
_ERASE = """
WITH tokens AS (DELETE FROM delivery WHERE user_id = $1 AND order_id IS NULL)
UPDATE delivery SET
    facts = '{}', reason = NULL, request_id = '', status = CASE status WHEN 'queued' THEN 'suppressed' ELSE status END
WHERE order_id IS NOT NULL AND (user_id = $1 OR order_id = ANY($2::uuid[]))
"""
_COLUMNS = "id, kind, channel, status, subject, created_at, sent_at"
_EVERYBODYS = f"SELECT {_COLUMNS} FROM delivery WHERE id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608 - our own columns
_OF_USER = f"SELECT {_COLUMNS} FROM delivery WHERE user_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608 - as above


async def enqueue(
    connection: Connection,
    *,
    delivery_id: UUID,
    kind: NotificationKind,
    order_id: UUID | None,
    user_id: UUID | None,
    subject: str,
    facts: OrderFacts | None,
    proof_id: UUID | None = None,
) -> None:
    """Puts a mail on its way, with the trace that it belongs to."""
    here = trace.current()
    said = facts.model_dump(mode="json", exclude_none=True) if facts else {}
    await connection.execute(
        _QUEUE,
        delivery_id,
        kind,
        NotificationChannel.EMAIL,
        order_id,
        user_id,
        subject,
        said,
        here.traceparent,
        here.request_id,
        proof_id,
    )


async def claim(connection: Connection, *, limit: int, lease_seconds: float) -> list[MailDelivery]:
    """Up to `most` deliveries that are due, oldest first, for `lease` seconds."""
    rows = await connection.fetch(_CLAIM, limit, lease_seconds)
    return sorted((_delivery(row) for row in rows), key=lambda delivery: delivery.id)


async def record_outcomes(connection: Connection, concluded: Sequence[tuple[MailDelivery, DeliveryOutcome]]) -> None:
    """Writes down what became of deliveries that are still ours."""
    outcomes = [outcome for _, outcome in concluded]
    await connection.execute(
        _CONCLUDE,
        [delivery.id for delivery, _ in concluded],
        [delivery.leased_until for delivery, _ in concluded],
        [outcome.status for outcome in outcomes],
        [outcome.attempts for outcome in outcomes],
        [outcome.reason for outcome in outcomes],
        [outcome.delay_seconds for outcome in outcomes],
    )


async def page(connection: Connection, *, user_id: UUID | None, before: UUID | None, limit: int) -> list[Notification]:
    """Newest first; of one user, or, without one, of everybody."""
    start = before or LAST_ID
    rows = await (
        connection.fetch(_OF_USER, start, limit, user_id)
        if user_id is not None
        else connection.fetch(_EVERYBODYS, start, limit)
    )
    return [Notification.model_validate(dict(row), strict=False) for row in rows]


async def erase_person(connection: Connection, user_id: UUID, order_ids: Sequence[UUID]) -> None:
    """What mails to somebody said, and those about orders with these ids. What is queued is not sent any more."""
    await connection.execute(_ERASE, user_id, order_ids)


def _delivery(row: Mapping[str, Any]) -> MailDelivery:
    return MailDelivery(
        id=row["id"],
        kind=NotificationKind(row["kind"]),
        order_id=row["order_id"],
        user_id=row["user_id"],
        subject=row["subject"],
        facts=OrderFacts.model_validate(row["facts"], strict=False) if row["facts"] else None,
        attempts=row["attempts"],
        leased_until=row["due_at"],
        traceparent=row["traceparent"],
        request_id=row["request_id"],
        proof_id=row["proof_id"],
    )
