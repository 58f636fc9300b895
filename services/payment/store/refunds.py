"""Refunds: first the amount is reserved, then the gateway refunds it, then it is booked."""

from dataclasses import replace
from uuid import UUID

from contracts.money import Money
from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from infra.foundation import trace
from services.payment.domain.payments import PaymentRecord
from services.payment.domain.refunds import RefundAttempt, total_refunded

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
), claimed AS (
    UPDATE refund SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
    FROM due WHERE refund.id = due.id
    RETURNING refund.id, payment_id, refund.amount, tries, refund.traceparent, refund.request_id
)
SELECT claimed.id, payment_id, claimed.amount, tries, claimed.traceparent, claimed.request_id, currency, provider
FROM claimed JOIN payment ON payment.id = payment_id
"""
_POSTPONE = "UPDATE refund SET due_at = now() + make_interval(secs => $2) WHERE id = $1"
_SETTLE = """
UPDATE refund SET status = $2, failure_code = $3, settled_at = now() WHERE id = $1 AND status = 'pending'
RETURNING true
"""
_BOOK = """
WITH paid AS (
    UPDATE payment SET refunded = $3, refunding = refunding - $4, status = $5, updated_at = now() WHERE id = $2
    RETURNING currency
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, currency, amount, cause)
SELECT $1, $2, account, currency, sign * $4::bigint, 'refund'
FROM paid CROSS JOIN (VALUES ('gateway_receivable', -1), ('sales', 1)) AS leg (account, sign)
"""
_ADD_TO_CARD = """
WITH added AS (
    INSERT INTO refund (id, payment_id, gift_card_id, amount, reason, status, traceparent, request_id, settled_at)
    VALUES ($1, $2, $3, $4, $5, 'done', $6, $7, now())
), returned AS (
    UPDATE gift_card SET balance = balance + $4 WHERE id = $3
), paid AS (
    UPDATE payment SET refunded = $8, status = $9, updated_at = now() WHERE id = $2 RETURNING currency
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, gift_card_id, currency, amount, cause)
SELECT $1, $2, account, card, currency, sign * $4::bigint, 'refund'
FROM paid CROSS JOIN (VALUES ('gift_card_liability', $3::uuid, -1), ('sales', NULL, 1)) AS leg (account, card, sign)
"""
_ADD_REFUSED = """
INSERT INTO refund (
    id, payment_id, gift_card_id, amount, reason, status, failure_code, traceparent, request_id, settled_at
) VALUES ($1, $2, $3, $4, $5, 'failed', $8, $6, $7, now())
"""
_RELEASE_RESERVED = "UPDATE payment SET refunding = refunding - $2, updated_at = now() WHERE id = $1"


async def add(connection: Connection, refund_id: UUID, payment_id: UUID, amount: int, reason: str | None) -> None:
    """Stores a refund and reserves its amount. The caller holds the payment's lock and knows that enough is left."""
    current = trace.current()
    await connection.execute(_ADD, refund_id, payment_id, amount, reason, current.traceparent, current.request_id)


async def add_to_card(
    connection: Connection, refund_id: UUID, payment: PaymentRecord, card_id: UUID, amount: int, reason: str | None
) -> PaymentRecord:
    """Gives an amount back to a gift card, books it, and returns the payment after it.

    The caller has locked the payment and the card, which takes money back.
    """
    current, (total, status) = trace.current(), total_refunded(payment, amount)
    values = (refund_id, payment.id, card_id, amount, reason, current.traceparent, current.request_id, total, status)
    await connection.execute(_ADD_TO_CARD, *values)
    return replace(payment, refunded=total, status=status)


async def add_refused(
    connection: Connection, refund_id: UUID, payment_id: UUID, card_id: UUID, amount: int, reason: str | None, code: str
) -> None:
    """Stores a refund that its gift card does not take. The amount stays owed."""
    current = trace.current()
    values = (refund_id, payment_id, card_id, amount, reason, current.traceparent, current.request_id, code)
    await connection.execute(_ADD_REFUSED, *values)


async def exists(connection: Connection, refund_id: UUID) -> bool:
    """Whether a refund with this id is stored."""
    return bool(await connection.fetchval(_EXISTS, refund_id))


async def claim(connection: Connection, limit: int, *, lease_seconds: float) -> list[RefundAttempt]:
    """Claims at most `limit` due refunds for `lease_seconds`."""
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
    """Makes the refund due again after the delay, since its outcome is unknown."""
    await connection.execute(_POSTPONE, refund_id, delay_seconds)


async def settle(connection: Connection, refund_id: UUID, *, failure_code: str | None = None) -> bool:
    """Stores how the refund ended: failed with a code, or done. Returns False when that was stored before."""
    status = "failed" if failure_code else "done"
    return bool(await connection.fetchval(_SETTLE, refund_id, status, failure_code))


async def book(connection: Connection, refund: RefundAttempt, total: int, status: PaymentStatus) -> None:
    """Books a refund that the gateway has made, in payment and ledger."""
    await connection.execute(_BOOK, refund.id, refund.payment_id, total, refund.money.amount, status)


async def release_reserved(connection: Connection, refund: RefundAttempt) -> None:
    """Releases the reserved amount of a refund that the gateway has refused."""
    await connection.execute(_RELEASE_RESERVED, refund.payment_id, refund.money.amount)
