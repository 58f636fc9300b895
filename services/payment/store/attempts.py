"""Work at the gateways: taken up under a lease, put off while nobody knows, given back untouched."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.money import Money
from infra.database.postgres import Connection
from services.payment.domain.payments import ChargeAttempt, ChargeStep

# `due_at` is the lease too: what its holder does not settle by then is due again for anybody.
_CLAIM = """
WITH due AS (
    SELECT payment_id FROM attempt WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE attempt SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
    FROM due WHERE attempt.payment_id = due.payment_id
    RETURNING attempt.payment_id, step, method, tries, begun_at <= now() - make_interval(secs => $3) AS overdue
)
SELECT taken.payment_id, step, method, tries, overdue, order_id, amount, currency, provider, cancelled,
       traceparent, request_id
FROM taken JOIN payment ON payment.id = taken.payment_id
"""
_PUT_OFF = """
UPDATE attempt SET due_at = now() + make_interval(secs => delay)
FROM unnest($1::uuid[], $2::float8[]) AS late (payment_id, delay) WHERE attempt.payment_id = late.payment_id
"""
_GIVE_BACK = """
UPDATE attempt SET tries = tries - 1, due_at = now() + make_interval(secs => $2) WHERE payment_id = ANY($1::uuid[])
"""
_GONE_ON = """
SELECT attempt.payment_id FROM attempt
JOIN unnest($1::uuid[], $2::text[]) AS asked (payment_id, step) ON asked.payment_id = attempt.payment_id
WHERE attempt.step <> asked.step
"""


async def claim(
    connection: Connection, limit: int, *, lease_seconds: float, deadline_seconds: float
) -> list[ChargeAttempt]:
    """Attempts that are due, ours for `lease` seconds; overdue when begun `deadline` seconds ago."""
    rows = await connection.fetch(_CLAIM, limit, lease_seconds, deadline_seconds)
    return [
        ChargeAttempt(
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            money=Money.model_construct(amount=row["amount"], currency=row["currency"]),
            provider=row["provider"],
            step=ChargeStep(row["step"]),
            method=row["method"],
            tries=row["tries"],
            cancelled=row["cancelled"],
            overdue=row["overdue"],
            traceparent=row["traceparent"],
            request_id=row["request_id"],
        )
        for row in rows
    ]


async def postpone(connection: Connection, delays: Sequence[tuple[UUID, float]]) -> None:
    """The gateway did not tell: each is tried again after its delay."""
    await connection.execute(_PUT_OFF, [one for one, _ in delays], [seconds for _, seconds in delays])


async def advanced(connection: Connection, asked: Mapping[UUID, ChargeStep]) -> set[UUID]:
    """Those of the payments of which another step is due by now than the one that was asked."""
    return {row["payment_id"] for row in await connection.fetch(_GONE_ON, list(asked), list(asked.values()))}


async def return_unused(connection: Connection, payment_ids: Sequence[UUID], delay_seconds: float) -> None:
    """Nothing was asked of the gateway: this try does not count."""
    await connection.execute(_GIVE_BACK, list(payment_ids), delay_seconds)
