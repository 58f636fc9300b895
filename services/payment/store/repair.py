"""Statements for the repair of a payment."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from services.payment.domain.payments import PaymentRecord
from services.payment.domain.repair import Bill

_LOCK_BILL = """
SELECT bill.cancelled, rival.status AS rival
FROM bill LEFT JOIN payment AS rival ON rival.id = bill.payment_id AND rival.id <> $2
WHERE bill.order_id = $1 FOR UPDATE OF bill
"""
_SET_BILL_PAYMENT = "UPDATE bill SET payment_id = $2 WHERE order_id = $1"
_HAS_ATTEMPT = "SELECT true FROM attempt WHERE payment_id = $1"
# One try counts already: it is unknown whether the gateway has received the charge.
_RESTART_ATTEMPT = "INSERT INTO attempt (payment_id, step, tries) VALUES ($1, 'charge', 1)"
_MAKE_DUE = """
WITH attempts AS (
    UPDATE attempt SET due_at = now() WHERE payment_id = $1 AND due_at > now() + make_interval(secs => $2) RETURNING 1
), refunds AS (
    UPDATE refund SET due_at = now()
    WHERE payment_id = $1 AND status = 'pending' AND due_at > now() + make_interval(secs => $2) RETURNING 1
)
SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM refunds)
"""
_LIST_REFUSED = """
SELECT id FROM refund WHERE payment_id = $1 AND status = 'failed' AND gift_card_id IS NULL ORDER BY id
"""
_REOPEN = """
UPDATE refund SET status = 'pending', failure_code = NULL, settled_at = NULL, due_at = now()
WHERE id = $1 AND status = 'failed'
    AND amount <= (SELECT payment.amount - refunded - refunding FROM payment WHERE payment.id = payment_id)
RETURNING true
"""
_SYNC_REFUNDING = """
UPDATE payment SET refunding = due.amount, updated_at = now()
FROM (SELECT coalesce(sum(amount), 0) AS amount FROM refund WHERE payment_id = $1 AND status = 'pending') AS due
WHERE id = $1 AND refunding <> due.amount AND refunded + due.amount <= payment.amount
RETURNING true
"""
_BOOK_MISSING = """
WITH captured AS (
    SELECT id, currency, amount, gift_card_amount FROM payment
    WHERE id = $1 AND status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
), due AS (
    SELECT id AS transaction_id, currency, leg.account, 0 AS line, NULL::uuid AS gift_card_id, leg.amount,
           'capture' AS cause
    FROM captured CROSS JOIN LATERAL (
        VALUES ('gateway_receivable', captured.amount - gift_card_amount), ('sales', -captured.amount)
    ) AS leg (account, amount)
    UNION ALL
    SELECT captured.id, currency, 'gift_card_liability', position, gift_card_id, hold.amount, 'capture'
    FROM captured JOIN gift_card_hold AS hold ON hold.payment_id = captured.id AND hold.state = 'spent'
    UNION ALL
    SELECT refund.id, currency, leg.account, 0, leg.gift_card_id, leg.sign * refund.amount, 'refund'
    FROM refund JOIN payment ON payment.id = payment_id CROSS JOIN LATERAL (VALUES
        (CASE WHEN refund.gift_card_id IS NULL THEN 'gateway_receivable' ELSE 'gift_card_liability' END,
         refund.gift_card_id, -1),
        ('sales', NULL, 1)
    ) AS leg (account, gift_card_id, sign)
    WHERE payment_id = $1 AND refund.status = 'done'
), booked AS (
    INSERT INTO ledger_entry (transaction_id, payment_id, account, line, gift_card_id, currency, amount, cause)
    SELECT transaction_id, $1, account, line, gift_card_id, currency, amount, cause
    FROM due
    WHERE NOT EXISTS (SELECT FROM ledger_entry AS known WHERE known.transaction_id = due.transaction_id)
    RETURNING 1
)
SELECT count(*) > 0 FROM booked
"""
_DROP_GIFT_CARD_PART = """
UPDATE payment SET amount = amount - gift_card_amount, gift_card_amount = 0, updated_at = now() WHERE id = $1
"""
_LIST_DONE = """
SELECT id, amount FROM refund WHERE payment_id = $1 AND status = 'done' ORDER BY settled_at, id
"""


async def lock_bill(connection: Connection, order_id: UUID, payment_id: UUID) -> Bill:
    """Returns the bill of an order as one of its payments sees it, and locks it until the transaction ends."""
    row = await connection.fetchrow(_LOCK_BILL, order_id, payment_id)
    assert row is not None, "every payment has a bill"
    return Bill(row["cancelled"], PaymentStatus(row["rival"]) if row["rival"] else None)


async def set_bill_payment(connection: Connection, order_id: UUID, payment_id: UUID) -> None:
    """Sets the payment that the bill names: this one pays the order."""
    await connection.execute(_SET_BILL_PAYMENT, order_id, payment_id)


async def has_attempt(connection: Connection, payment_id: UUID) -> bool:
    """Whether work on the charge is pending."""
    return bool(await connection.fetchval(_HAS_ATTEMPT, payment_id))


async def restart_attempt(connection: Connection, payment_id: UUID) -> None:
    """Adds an attempt for a charge that has none."""
    await connection.execute(_RESTART_ATTEMPT, payment_id)


async def make_due(connection: Connection, payment_id: UUID, max_delay_seconds: float) -> bool:
    """Makes work due now that is due in more than `max_delay_seconds`. Returns whether there was any."""
    return bool(await connection.fetchval(_MAKE_DUE, payment_id, max_delay_seconds))


async def list_refused(connection: Connection, payment_id: UUID) -> Sequence[UUID]:
    """Returns the refunds that the gateway has refused."""
    return [row["id"] for row in await connection.fetch(_LIST_REFUSED, payment_id)]


async def reopen(connection: Connection, refund_id: UUID) -> bool:
    """Makes a failed refund pending again, under its own id, if enough of the payment is left."""
    return bool(await connection.fetchval(_REOPEN, refund_id))


async def sync_refunding(connection: Connection, payment_id: UUID) -> bool:
    """Sets the reserved amount to the sum of the pending refunds. Returns whether it differed."""
    return bool(await connection.fetchval(_SYNC_REFUNDING, payment_id))


async def book_missing(connection: Connection, payment_id: UUID) -> bool:
    """Books captures and refunds without any ledger entry. Returns whether there were any."""
    return bool(await connection.fetchval(_BOOK_MISSING, payment_id))


async def drop_gift_card_part(connection: Connection, payment: PaymentRecord) -> PaymentRecord:
    """Makes the payment one of the gateway's part alone, and returns it."""
    await connection.execute(_DROP_GIFT_CARD_PART, payment.id)
    return replace(payment, amount=payment.amount - payment.gift_card_amount, gift_card_amount=0)


async def list_done(connection: Connection, payment_id: UUID) -> list[tuple[UUID, int]]:
    """Returns the refunds that were made (id, amount), the first one first."""
    return [(row["id"], row["amount"]) for row in await connection.fetch(_LIST_DONE, payment_id)]
