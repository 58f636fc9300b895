"""Payments and the bills of orders: opening, cancelling, settling and reading them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from services.payment.domain.payments import NewPayment, PaymentRecord, Settlement

_COLUMNS = """
payment.id, payment.order_id, payment.user_id, payment.amount, payment.gift_card_amount, payment.currency,
payment.refunded, payment.refunding,
payment.status, payment.provider, payment.failure_code, payment.client_secret, payment.cancelled, payment.traceparent,
payment.request_id, payment.created_at
"""

# The bill decides which payment pays the order: a second payment, or a cancellation, waits for the lock on its row.
_OPEN = """
WITH gate AS (
    INSERT INTO bill (order_id, payment_id) VALUES ($2, $1)
    ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id
    WHERE NOT bill.cancelled
        AND EXISTS (SELECT FROM payment AS before WHERE before.id = bill.payment_id AND before.status = 'failed')
    RETURNING order_id
), opened AS (
    INSERT INTO payment (id, order_id, user_id, amount, currency, provider, traceparent, request_id, gift_card_amount)
    SELECT $1, $2, $3::uuid, $4::bigint, $5::text, $6::text, $8::text, $9::text, $10::bigint FROM gate
    RETURNING id
)
INSERT INTO attempt (payment_id, step, method) SELECT id, 'charge', $7::text FROM opened
RETURNING true
"""
# The first payments of several orders, in the order of their bills, so that two processes cannot deadlock.
_OPEN_FIRST = """
WITH placed AS (
    SELECT * FROM unnest(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[]
    ) AS placed (id, order_id, user_id, amount, currency, provider, traceparent, request_id, gift_card_amount)
), gate AS (
    INSERT INTO bill (order_id, payment_id) SELECT order_id, id FROM placed ORDER BY order_id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING payment_id
), opened AS (
    INSERT INTO payment (id, order_id, user_id, amount, currency, provider, traceparent, request_id, gift_card_amount)
    SELECT placed.* FROM placed JOIN gate ON gate.payment_id = placed.id
    RETURNING id
)
INSERT INTO attempt (payment_id, step) SELECT id, 'charge' FROM opened
"""
_FIND_BILL = "SELECT payment_id, cancelled FROM bill WHERE order_id = $1"
_CANCEL_BILL = """
INSERT INTO bill (order_id, cancelled) VALUES ($1, true)
ON CONFLICT (order_id) DO UPDATE SET cancelled = true
RETURNING payment_id
"""
_CHANGE_OWNER = "UPDATE payment SET user_id = $2 WHERE order_id = $1 AND user_id IS DISTINCT FROM $2"
_MARK_CANCELLED = f"UPDATE payment SET cancelled = true WHERE id = $1 RETURNING {_COLUMNS}"  # noqa: S608 - constants
_FIND = f"SELECT {_COLUMNS} FROM payment WHERE id = $1"  # noqa: S608 - constants
_LIST_CAPTURED = f"""
SELECT {_COLUMNS} FROM payment
WHERE order_id = ANY($1::uuid[]) AND status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
ORDER BY id
"""  # noqa: S608 - constants
_LOCK = f"{_FIND} FOR NO KEY UPDATE"
_LOCK_PROCESSING = f"""
SELECT {_COLUMNS} FROM payment WHERE id = ANY($1::uuid[]) AND status = 'processing' ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - constants
_SETTLE = """
WITH settled AS (
    UPDATE payment SET status = new.status, failure_code = new.failure_code, updated_at = now(),
        client_secret = coalesce(new.client_secret, payment.client_secret)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, status, failure_code, client_secret)
    WHERE payment.id = new.id
    RETURNING payment.id, payment.status, payment.amount, payment.currency, payment.gift_card_amount
), done AS (
    DELETE FROM attempt USING settled WHERE attempt.payment_id = settled.id
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, currency, amount, cause)
SELECT id, id, account, currency, sign * amount, 'capture'
FROM settled CROSS JOIN (VALUES ('gateway_receivable', 1), ('sales', -1)) AS leg (account, sign)
WHERE status = 'captured' AND gift_card_amount = 0
"""
_SCHEDULE_STEP = """
WITH resumed AS (
    UPDATE payment SET status = 'processing', updated_at = now() WHERE id = $1 RETURNING id
)
INSERT INTO attempt (payment_id, step) SELECT id, $2 FROM resumed
ON CONFLICT (payment_id) DO UPDATE SET step = excluded.step, tries = 0, due_at = now(), begun_at = now()
"""


async def open_payment(connection: Connection, payment: NewPayment, method: str) -> bool:
    """Opens a payment with its first attempt. Returns False when the order is cancelled or already has a payment.

    A payment that failed does not count.
    """
    money = payment.money
    values = (payment.id, payment.order_id, payment.user_id, money.amount, money.currency, payment.provider, method)
    more = (payment.traceparent, payment.request_id, payment.gift_card_amount)
    return bool(await connection.fetchval(_OPEN, *values, *more))


async def open_first(connection: Connection, payments: Sequence[NewPayment]) -> None:
    """Opens payments with their first attempts, except for orders that are cancelled or already have a payment."""
    await connection.execute(
        _OPEN_FIRST,
        [payment.id for payment in payments],
        [payment.order_id for payment in payments],
        [payment.user_id for payment in payments],
        [payment.money.amount for payment in payments],
        [payment.money.currency for payment in payments],
        [payment.provider for payment in payments],
        [payment.traceparent for payment in payments],
        [payment.request_id for payment in payments],
        [payment.gift_card_amount for payment in payments],
    )


async def change_owner(connection: Connection, order_id: UUID, user_id: UUID) -> None:
    """Makes all payments of the order this customer's."""
    await connection.execute(_CHANGE_OWNER, order_id, user_id)


async def find_bill(connection: Connection, order_id: UUID) -> tuple[UUID | None, bool]:
    """Returns the payment that the order's bill names, and whether the order is cancelled."""
    row = await connection.fetchrow(_FIND_BILL, order_id)
    return (row["payment_id"], row["cancelled"]) if row else (None, False)


async def cancel_bill(connection: Connection, order_id: UUID) -> UUID | None:
    """Prevents any further charge for the order. Returns the payment that the bill names, if there is one."""
    payment_id: UUID | None = await connection.fetchval(_CANCEL_BILL, order_id)
    return payment_id


async def mark_cancelled(connection: Connection, payment_id: UUID) -> PaymentRecord:
    """Marks a payment as no longer wanted, returns it, and locks its row until the transaction ends."""
    row = await connection.fetchrow(_MARK_CANCELLED, payment_id)
    assert row is not None, "the payment of a bill exists"
    return _to_record(row)


async def find(connection: Connection, payment_id: UUID) -> PaymentRecord | None:
    """Returns the payment."""
    row = await connection.fetchrow(_FIND, payment_id)
    return _to_record(row) if row else None


async def list_captured(connection: Connection, order_ids: Sequence[UUID]) -> list[PaymentRecord]:
    """Returns the payments of these orders that have captured money, even if it was refunded since."""
    return [_to_record(row) for row in await connection.fetch(_LIST_CAPTURED, list(order_ids))]


async def lock(connection: Connection, payment_id: UUID) -> PaymentRecord | None:
    """Returns the payment and locks its row until the transaction ends."""
    row = await connection.fetchrow(_LOCK, payment_id)
    return _to_record(row) if row else None


async def lock_processing(connection: Connection, payment_ids: Sequence[UUID]) -> list[PaymentRecord]:
    """Returns those of the payments that are still processing, and locks their rows."""
    return [_to_record(row) for row in await connection.fetch(_LOCK_PROCESSING, list(payment_ids))]


async def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """Stores the new status of each payment, deletes its attempt, and books it if it was captured.

    A capture that gift cards pay a part of is booked when that part is spent.
    """
    await connection.execute(
        _SETTLE,
        [settlement.payment_id for settlement in settlements],
        [settlement.status for settlement in settlements],
        [settlement.failure_code for settlement in settlements],
        [settlement.client_secret for settlement in settlements],
    )


async def schedule_step(connection: Connection, payment_id: UUID, step: str) -> None:
    """Sets the payment to processing, with this step due now."""
    await connection.execute(_SCHEDULE_STEP, payment_id, step)


async def list_page(
    connection: Connection, *, user_id: UUID | None, order_id: UUID | None, before: UUID | None, limit: int
) -> list[PaymentRecord]:
    """Returns a page of payments, the newest first: of a user, of an order, or of all."""
    conditions = {"user_id = ": user_id, "order_id = ": order_id, "id < ": before}
    given = [(condition, value) for condition, value in conditions.items() if value is not None]
    where = " AND ".join(f"payment.{condition}${place}" for place, (condition, _) in enumerate(given, 2)) or "true"
    statement = f"SELECT {_COLUMNS} FROM payment WHERE {where} ORDER BY payment.id DESC LIMIT $1"  # noqa: S608 - names
    rows = await connection.fetch(statement, limit, *(value for _, value in given))
    return [_to_record(row) for row in rows]


def _to_record(row: "asyncpg.Record | dict[str, Any]") -> PaymentRecord:
    return PaymentRecord(**{**row, "status": PaymentStatus(row["status"])})
