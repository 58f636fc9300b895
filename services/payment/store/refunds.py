"""Refunds: set aside first, then given back at the gateway, then booked."""

from dataclasses import dataclass
from uuid import UUID

from contracts.money import Money
from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from infra.foundation import trace

_ADD = """
WITH added AS (
    INSERT INTO refund (id, payment_id, amount, reason, traceparent, request_id) VALUES ($1, $2, $3, $4, $5, $6)
    RETURNING payment_id, amount
)
UPDATE payment SET refunding = refunding + added.amount, updated_at = now() FROM added WHERE payment.id = payment_id
"""
_EXISTS = "SELECT true FROM refund WHERE id = $1"
_CLAIM = """
WITH due AS (
    SELECT id FROM refund WHERE status = 'pending' AND due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE refund SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
    FROM due WHERE refund.id = due.id
    RETURNING refund.id, payment_id, refund.amount, tries, refund.traceparent, refund.request_id
)
SELECT taken.id, payment_id, taken.amount, tries, taken.traceparent, taken.request_id, currency, provider
FROM taken JOIN payment ON payment.id = payment_id
"""
_PUT_OFF = "UPDATE refund SET due_at = now() + make_interval(secs => $2) WHERE id = $1"
_SETTLE = """
UPDATE refund SET status = $2, failure_code = $3, settled_at = now() WHERE id = $1 AND status = 'pending'
RETURNING true
"""
_BOOK = """
WITH paid AS (
    UPDATE payment SET refunded = $3, refunding = refunding - $4, status = $5, updated_at = now() WHERE id = $2
    RETURNING currency
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, currency, amount)
SELECT $1, $2, account, currency, sign * $4::bigint
FROM paid CROSS JOIN (VALUES ('gateway_receivable', -1), ('sales', 1)) AS leg (account, sign)
"""
_RELEASE = "UPDATE payment SET refunding = refunding - $2, updated_at = now() WHERE id = $1"


@dataclass(frozen=True, slots=True)
class RefundAttempt:
    """A refund that somebody has taken up; `tries` counts this time."""

    id: UUID
    payment_id: UUID
    money: Money
    provider: str
    tries: int
    traceparent: str
    request_id: str


async def add(connection: Connection, refund_id: UUID, payment_id: UUID, amount: int, reason: str | None) -> None:
    """Sets the money aside. The payment's row is locked by the caller, who knows that so much is left."""
    here = trace.current()
    await connection.execute(_ADD, refund_id, payment_id, amount, reason, here.traceparent, here.request_id)


async def exists(connection: Connection, refund_id: UUID) -> bool:
    return bool(await connection.fetchval(_EXISTS, refund_id))


async def claim(connection: Connection, limit: int, *, lease_seconds: float) -> list[RefundAttempt]:
    rows = await connection.fetch(_CLAIM, limit, lease_seconds)
    return [
        RefundAttempt(
            id=row["id"],
            payment_id=row["payment_id"],
            money=Money.model_construct(amount=row["amount"], currency=row["currency"]),
            provider=row["provider"],
            tries=row["tries"],
            traceparent=row["traceparent"],
            request_id=row["request_id"],
        )
        for row in rows
    ]


async def postpone(connection: Connection, refund_id: UUID, delay_seconds: float) -> None:
    await connection.execute(_PUT_OFF, refund_id, delay_seconds)


async def settle(connection: Connection, refund_id: UUID, *, failure_code: str | None = None) -> bool:
    """Whether this was the first to know how the refund ended."""
    status = "failed" if failure_code else "done"
    return bool(await connection.fetchval(_SETTLE, refund_id, status, failure_code))


async def book(connection: Connection, refund: RefundAttempt, total: int, status: PaymentStatus) -> None:
    """The money has gone back: payment and ledger say so."""
    await connection.execute(_BOOK, refund.id, refund.payment_id, total, refund.money.amount, status)


async def release_reserved(connection: Connection, refund: RefundAttempt) -> None:
    """The gateway refused: what was set aside is free again."""
    await connection.execute(_RELEASE, refund.payment_id, refund.money.amount)
