"""What is looked at and put right when an operator asks for it."""

from collections.abc import Sequence
from uuid import UUID

from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from services.payment.domain.payments import Bill

_BILL = """
SELECT bill.cancelled, rival.status AS rival
FROM bill LEFT JOIN payment AS rival ON rival.id = bill.payment_id AND rival.id <> $2
WHERE bill.order_id = $1 FOR UPDATE OF bill
"""
_NAME = "UPDATE bill SET payment_id = $2 WHERE order_id = $1"
_ATTEMPTED = "SELECT true FROM attempt WHERE payment_id = $1"
# As one that has been tried: whoever takes it up does not know what the gateway may have heard of it.
_TRY_ANEW = "INSERT INTO attempt (payment_id, step, tries) VALUES ($1, 'charge', 1)"
_HURRY = """
WITH attempts AS (
    UPDATE attempt SET due_at = now() WHERE payment_id = $1 AND due_at > now() + make_interval(secs => $2) RETURNING 1
), refunds AS (
    UPDATE refund SET due_at = now()
    WHERE payment_id = $1 AND status = 'pending' AND due_at > now() + make_interval(secs => $2) RETURNING 1
)
SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM refunds)
"""
_REFUSED = "SELECT id FROM refund WHERE payment_id = $1 AND status = 'failed' ORDER BY id"
_REOPEN = """
UPDATE refund SET status = 'pending', failure_code = NULL, settled_at = NULL, due_at = now()
WHERE id = $1 AND status = 'failed'
    AND amount <= (SELECT payment.amount - refunded - refunding FROM payment WHERE payment.id = payment_id)
RETURNING true
"""
_SET_ASIDE = """
UPDATE payment SET refunding = due.amount, updated_at = now()
FROM (SELECT coalesce(sum(amount), 0) AS amount FROM refund WHERE payment_id = $1 AND status = 'pending') AS due
WHERE id = $1 AND refunding <> due.amount AND refunded + due.amount <= payment.amount
RETURNING true
"""
_BOOK = """
WITH due AS (
    SELECT id AS transaction_id, id AS payment_id, currency, amount FROM payment
    WHERE id = $1 AND status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
    UNION ALL
    SELECT refund.id, payment.id, currency, -refund.amount FROM refund JOIN payment ON payment.id = payment_id
    WHERE payment_id = $1 AND refund.status = 'done'
), booked AS (
    INSERT INTO ledger_entry (transaction_id, payment_id, account, currency, amount)
    SELECT transaction_id, payment_id, account, currency, sign * amount
    FROM due CROSS JOIN (VALUES ('gateway_receivable', 1), ('sales', -1)) AS leg (account, sign)
    WHERE NOT EXISTS (SELECT FROM ledger_entry AS known WHERE known.transaction_id = due.transaction_id)
    RETURNING 1
)
SELECT count(*) > 0 FROM booked
"""
_GIVEN_BACK = """
SELECT id, amount FROM refund WHERE payment_id = $1 AND status = 'done' ORDER BY settled_at, id
"""


async def lock_bill(connection: Connection, order_id: UUID, payment_id: UUID) -> Bill:
    """The bill of an order as one of its payments sees it; locked until the end of the transaction."""
    row = await connection.fetchrow(_BILL, order_id, payment_id)
    assert row is not None, "a payment has a bill"
    return Bill(row["cancelled"], PaymentStatus(row["rival"]) if row["rival"] else None)


async def set_bill_payment(connection: Connection, order_id: UUID, payment_id: UUID) -> None:
    """The order is paid by this payment."""
    await connection.execute(_NAME, order_id, payment_id)


async def has_attempt(connection: Connection, payment_id: UUID) -> bool:
    return bool(await connection.fetchval(_ATTEMPTED, payment_id))


async def restart_attempt(connection: Connection, payment_id: UUID) -> None:
    await connection.execute(_TRY_ANEW, payment_id)


async def make_due(connection: Connection, payment_id: UUID, max_delay_seconds: float) -> bool:
    """Makes due now what is to be done only in more than `longest` seconds; whether there was any."""
    return bool(await connection.fetchval(_HURRY, payment_id, max_delay_seconds))


async def list_refused(connection: Connection, payment_id: UUID) -> Sequence[UUID]:
    return [row["id"] for row in await connection.fetch(_REFUSED, payment_id)]


async def reopen(connection: Connection, refund_id: UUID) -> bool:
    """A refund that failed here is to be asked for again, under its own id, if there is so much left."""
    return bool(await connection.fetchval(_REOPEN, refund_id))


async def sync_refunding(connection: Connection, payment_id: UUID) -> bool:
    """As much is set aside as is on its way back; whether it was not."""
    return bool(await connection.fetchval(_SET_ASIDE, payment_id))


async def book_missing(connection: Connection, payment_id: UUID) -> bool:
    """Books what the ledger has missed altogether; whether there was any."""
    return bool(await connection.fetchval(_BOOK, payment_id))


async def list_done(connection: Connection, payment_id: UUID) -> list[tuple[UUID, int]]:
    """The refunds that were done, the first one first."""
    return [(row["id"], row["amount"]) for row in await connection.fetch(_GIVEN_BACK, payment_id)]
