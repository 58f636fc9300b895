"""SQL of deliveries: queued, leased, and their outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts.notification import Notification, NotificationChannel, NotificationKind
from infra.database.postgres import Connection
from services.notification.domain.deliveries import DeliveryOutcome, MailDelivery, NewDelivery
from services.notification.domain.mails import OrderFacts

HIGHEST_ID = UUID(int=2**128 - 1)

# Queues one mail of each kind about an order or a part of it, and one for each token, even if the event arrives again.
_ENQUEUE = """
INSERT INTO delivery (id, kind, channel, order_id, user_id, subject, facts, traceparent, request_id, proof_id, part_id)
SELECT id, kind, $11, order_id, user_id, subject, facts::jsonb, traceparent, request_id, proof_id, part_id
FROM unnest(
    $1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[],
    $10::uuid[]
) AS mail (id, kind, order_id, user_id, subject, facts, traceparent, request_id, proof_id, part_id)
ON CONFLICT DO NOTHING
"""
# Leases the deliveries that have been due the longest. No other process claims them until the lease ends.
_CLAIM = """
UPDATE delivery SET due_at = clock_timestamp() + make_interval(secs => $2)
WHERE id = ANY(ARRAY(
    SELECT id FROM delivery WHERE status = 'queued' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
))
RETURNING id, kind, order_id, user_id, subject, facts, attempts, traceparent, request_id, due_at, proof_id
"""
# Records a whole batch, except deliveries that another process has leased meanwhile: `due_at` is the end of the lease.
_RECORD_OUTCOMES = """
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
# Mails about orders are kept as ids, which `souk verify` looks for; mails about the account are deleted.
_ERASE_PERSON = """
WITH tokens AS (DELETE FROM delivery WHERE user_id = $1 AND order_id IS NULL),
counts AS (
    DELETE FROM unconfirmed_mail USING delivery
    WHERE delivery.id = delivery_id AND (user_id = $1 OR order_id = ANY($2::uuid[]))
)
UPDATE delivery SET
    facts = '{}', reason = NULL, request_id = '', status = CASE status WHEN 'queued' THEN 'suppressed' ELSE status END
WHERE order_id IS NOT NULL AND (user_id = $1 OR order_id = ANY($2::uuid[]))
"""
_CHANGE_OWNER = "UPDATE delivery SET user_id = $2 WHERE order_id = $1 AND user_id IS DISTINCT FROM $2"
_COLUMNS = """
    id, kind, channel, status, subject, created_at, sent_at, CASE status WHEN 'suppressed' THEN reason END AS reason
"""
_PAGE = f"SELECT {_COLUMNS} FROM delivery WHERE id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608 - our own columns
_PAGE_OF_USER = f"SELECT {_COLUMNS} FROM delivery WHERE user_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608 - as above


async def enqueue(connection: Connection, mails: Sequence[NewDelivery]) -> None:
    """Queues mails, except those that were queued before."""
    await connection.execute(
        _ENQUEUE,
        [mail.id for mail in mails],
        [mail.kind for mail in mails],
        [mail.order_id for mail in mails],
        [mail.user_id for mail in mails],
        [mail.subject for mail in mails],
        [mail.facts.decode() for mail in mails],
        [mail.traceparent for mail in mails],
        [mail.request_id for mail in mails],
        [mail.proof_id for mail in mails],
        [mail.part_id for mail in mails],
        NotificationChannel.EMAIL,
    )


async def claim(connection: Connection, *, limit: int, lease_seconds: float) -> list[MailDelivery]:
    """Leases up to `limit` due deliveries for `lease_seconds` and returns them, oldest first."""
    rows = await connection.fetch(_CLAIM, limit, lease_seconds)
    return sorted((_delivery_from_row(row) for row in rows), key=lambda delivery: delivery.id)


async def record_outcomes(connection: Connection, results: Sequence[tuple[MailDelivery, DeliveryOutcome]]) -> None:
    """Records the outcomes of deliveries whose lease is still held."""
    outcomes = [outcome for _, outcome in results]
    await connection.execute(
        _RECORD_OUTCOMES,
        [delivery.id for delivery, _ in results],
        [delivery.leased_until for delivery, _ in results],
        [outcome.status for outcome in outcomes],
        [outcome.attempts for outcome in outcomes],
        [outcome.reason for outcome in outcomes],
        [outcome.delay_seconds for outcome in outcomes],
    )


async def page(connection: Connection, *, user_id: UUID | None, before: UUID | None, limit: int) -> list[Notification]:
    """Returns up to `limit` notifications before an id, newest first, of one user or of all users."""
    start = before or HIGHEST_ID
    rows = await (
        connection.fetch(_PAGE_OF_USER, start, limit, user_id)
        if user_id is not None
        else connection.fetch(_PAGE, start, limit)
    )
    return [Notification.model_validate(dict(row), strict=False) for row in rows]


async def change_owner(connection: Connection, order_id: UUID, user_id: UUID) -> None:
    """Makes all mails about the order this customer's; those that are queued go to the customer."""
    await connection.execute(_CHANGE_OWNER, order_id, user_id)


async def erase_person(connection: Connection, user_id: UUID, order_ids: Sequence[UUID]) -> None:
    """Erases the content of mails to the customer and about these guest orders; queued ones are not sent."""
    await connection.execute(_ERASE_PERSON, user_id, order_ids)


def _delivery_from_row(row: Mapping[str, Any]) -> MailDelivery:
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
