"""Work on charges: claimed under a lease, postponed when the outcome is unknown, returned when not tried."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.money import Money
from infra.database.postgres import Connection
from services.payment.domain.charges import ChargeAttempt, ChargeStep

# `due_at` is also the lease: what its holder does not settle by then is due again, for any process.
_CLAIM = """
WITH due AS (
    SELECT payment_id FROM attempt WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE attempt SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
    FROM due WHERE attempt.payment_id = due.payment_id
    RETURNING attempt.payment_id, step, method, tries, begun_at <= now() - make_interval(secs => $3) AS overdue
)
SELECT claimed.payment_id, step, method, tries, overdue, order_id, amount - gift_card_amount AS due, currency,
       provider, cancelled, traceparent, request_id,
       gift_card_amount = 0 OR gift_card_amount = (
           SELECT sum(hold.amount) FROM gift_card_hold AS hold WHERE hold.payment_id = payment.id
       ) AS gift_cards_held
FROM claimed JOIN payment ON payment.id = claimed.payment_id
"""
_POSTPONE = """
UPDATE attempt SET due_at = now() + make_interval(secs => delay)
FROM unnest($1::uuid[], $2::float8[]) AS late (payment_id, delay) WHERE attempt.payment_id = late.payment_id
"""
_RETURN_UNUSED = """
UPDATE attempt SET tries = tries - 1, due_at = now() + make_interval(secs => $2) WHERE payment_id = ANY($1::uuid[])
"""
_ADVANCED = """
SELECT attempt.payment_id FROM attempt
JOIN unnest($1::uuid[], $2::text[]) AS tried (payment_id, step) ON tried.payment_id = attempt.payment_id
WHERE attempt.step <> tried.step
"""


async def claim(
    connection: Connection, limit: int, *, lease_seconds: float, deadline_seconds: float
) -> list[ChargeAttempt]:
    """Claims at most `limit` due attempts for `lease_seconds`. Those begun `deadline_seconds` ago are overdue."""
    rows = await connection.fetch(_CLAIM, limit, lease_seconds, deadline_seconds)
    return [
        ChargeAttempt(
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            money=Money.model_construct(amount=row["due"], currency=row["currency"]),
            provider=row["provider"],
            step=ChargeStep(row["step"]),
            method=row["method"],
            tries=row["tries"],
            cancelled=row["cancelled"],
            overdue=row["overdue"],
            gift_cards_held=row["gift_cards_held"] is True,
            traceparent=row["traceparent"],
            request_id=row["request_id"],
        )
        for row in rows
    ]


async def postpone(connection: Connection, delays: Sequence[tuple[UUID, float]]) -> None:
    """Makes each attempt due again after its delay in seconds, since its outcome is unknown."""
    payment_ids, seconds = [payment_id for payment_id, _ in delays], [delay for _, delay in delays]
    await connection.execute(_POSTPONE, payment_ids, seconds)


async def return_unused(connection: Connection, payment_ids: Sequence[UUID], delay_seconds: float) -> None:
    """Returns attempts whose gateway was not called: the try does not count."""
    await connection.execute(_RETURN_UNUSED, list(payment_ids), delay_seconds)


async def advanced(connection: Connection, steps: Mapping[UUID, ChargeStep]) -> set[UUID]:
    """Returns the payments whose attempt has advanced to another step than the one given."""
    return {row["payment_id"] for row in await connection.fetch(_ADVANCED, list(steps), list(steps.values()))}
