"""Payments, the bills they pay, and their way through settlement."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from contracts.money import Money
from contracts.payment import PaymentStatus
from infra.database.postgres import Connection
from infra.foundation import trace
from services.payment.domain.payments import PaymentRecord, Settlement

_COLUMNS = """
payment.id, payment.order_id, payment.user_id, payment.amount, payment.currency, payment.refunded, payment.refunding,
payment.status, payment.provider, payment.failure_code, payment.client_secret, payment.cancelled, payment.traceparent,
payment.request_id, payment.created_at
"""

# The bill decides who may pay: its row is what a second payment, and a cancellation, of the same order waits for.
_OPEN = """
WITH gate AS (
    INSERT INTO bill (order_id, payment_id) VALUES ($2, $1)
    ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id
    WHERE $10 AND NOT bill.cancelled
        AND EXISTS (SELECT FROM payment AS before WHERE before.id = bill.payment_id AND before.status = 'failed')
    RETURNING order_id
), opened AS (
    INSERT INTO payment (id, order_id, user_id, amount, currency, provider, traceparent, request_id)
    SELECT $1, $2, $3::uuid, $4::bigint, $5::text, $6::text, $8::text, $9::text FROM gate
    RETURNING id
)
INSERT INTO attempt (payment_id, step, method) SELECT id, 'charge', $7::text FROM opened
RETURNING true
"""
_BILLED = "SELECT payment_id, cancelled FROM bill WHERE order_id = $1"
_CANCEL_BILL = """
INSERT INTO bill (order_id, cancelled) VALUES ($1, true)
ON CONFLICT (order_id) DO UPDATE SET cancelled = true
RETURNING payment_id
"""
_CANCEL = f"UPDATE payment SET cancelled = true WHERE id = $1 RETURNING {_COLUMNS}"  # noqa: S608 - a constant
_FIND = f"SELECT {_COLUMNS} FROM payment WHERE id = $1"  # noqa: S608 - a constant
_TAKEN = f"""
SELECT {_COLUMNS} FROM payment
WHERE order_id = ANY($1::uuid[]) AND status IN ('captured', 'partially_refunded', 'refunded', 'disputed')
ORDER BY id
"""  # noqa: S608 - a constant
_LOCK = f"{_FIND} FOR NO KEY UPDATE"
_LOCK_PROCESSING = f"""
SELECT {_COLUMNS} FROM payment WHERE id = ANY($1::uuid[]) AND status = 'processing' ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - a constant
_SETTLE = """
WITH settled AS (
    UPDATE payment SET status = new.status, failure_code = new.failure_code, updated_at = now(),
        client_secret = coalesce(new.client_secret, payment.client_secret)
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, status, failure_code, client_secret)
    WHERE payment.id = new.id
    RETURNING payment.id, payment.status, payment.amount, payment.currency
), done AS (
    DELETE FROM attempt USING settled WHERE attempt.payment_id = settled.id
)
INSERT INTO ledger_entry (transaction_id, payment_id, account, currency, amount)
SELECT id, id, account, currency, sign * amount
FROM settled CROSS JOIN (VALUES ('gateway_receivable', 1), ('sales', -1)) AS leg (account, sign)
WHERE status = 'captured'
"""
_GO_ON = """
WITH resumed AS (
    UPDATE payment SET status = 'processing', updated_at = now() WHERE id = $1 RETURNING id
)
INSERT INTO attempt (payment_id, step) SELECT id, $2 FROM resumed
ON CONFLICT (payment_id) DO UPDATE SET step = excluded.step, tries = 0, due_at = now(), begun_at = now()
"""


async def open_payment(
    connection: Connection,
    payment_id: UUID,
    order_id: UUID,
    user_id: UUID | None,
    money: Money,
    provider: str,
    *,
    method: str | None,
    replace_failed: bool,
) -> bool:
    """A payment and its first attempt, unless the order has one already or is cancelled. `anew`: after a failed one."""
    here = trace.current()
    values = (payment_id, order_id, user_id, money.amount, money.currency, provider, method)
    return bool(await connection.fetchval(_OPEN, *values, here.traceparent, here.request_id, replace_failed))


async def find_bill(connection: Connection, order_id: UUID) -> tuple[UUID | None, bool]:
    """The payment that an order's bill names, and whether the order is cancelled."""
    row = await connection.fetchrow(_BILLED, order_id)
    return (row["payment_id"], row["cancelled"]) if row else (None, False)


async def cancel_bill(connection: Connection, order_id: UUID) -> UUID | None:
    """Charges nobody for the order from now on; the payment there is already."""
    payment_id: UUID | None = await connection.fetchval(_CANCEL_BILL, order_id)
    return payment_id


async def mark_cancelled(connection: Connection, payment_id: UUID) -> PaymentRecord:
    """Marks a payment as one that nobody wants any more; its row is locked until the end of the transaction."""
    row = await connection.fetchrow(_CANCEL, payment_id)
    assert row is not None, "a bill names a payment that is not there"
    return _payment(row)


async def find(connection: Connection, payment_id: UUID) -> PaymentRecord | None:
    row = await connection.fetchrow(_FIND, payment_id)
    return _payment(row) if row else None


async def list_captured(connection: Connection, order_ids: Sequence[UUID]) -> list[PaymentRecord]:
    """The payments of these orders that have taken money, whether or not it went back since."""
    return [_payment(row) for row in await connection.fetch(_TAKEN, list(order_ids))]


async def lock(connection: Connection, payment_id: UUID) -> PaymentRecord | None:
    row = await connection.fetchrow(_LOCK, payment_id)
    return _payment(row) if row else None


async def lock_processing(connection: Connection, payment_ids: Sequence[UUID]) -> list[PaymentRecord]:
    """Those of the payments that are still under way."""
    return [_payment(row) for row in await connection.fetch(_LOCK_PROCESSING, list(payment_ids))]


async def settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    """The new status of each payment, its ledger transaction if it was captured, and the end of its attempt."""
    await connection.execute(
        _SETTLE,
        [one.payment_id for one in settlements],
        [one.status for one in settlements],
        [one.failure_code for one in settlements],
        [one.client_secret for one in settlements],
    )


async def schedule_step(connection: Connection, payment_id: UUID, step: str) -> None:
    """The payment is under way (again), with this step due now."""
    await connection.execute(_GO_ON, payment_id, step)


async def list_page(
    connection: Connection, *, user_id: UUID | None, order_id: UUID | None, before: UUID | None, limit: int
) -> list[PaymentRecord]:
    """The newest first; of a user, of an order, or of all."""
    wanted = {"user_id = ": user_id, "order_id = ": order_id, "id < ": before}
    given = [(test, value) for test, value in wanted.items() if value is not None]
    where = " AND ".join(f"payment.{test}${place}" for place, (test, _) in enumerate(given, 2)) or "true"
    statement = f"SELECT {_COLUMNS} FROM payment WHERE {where} ORDER BY payment.id DESC LIMIT $1"  # noqa: S608 - names
    rows = await connection.fetch(statement, limit, *(value for _, value in given))
    return [_payment(row) for row in rows]


def _payment(row: "asyncpg.Record | dict[str, Any]") -> PaymentRecord:
    return PaymentRecord(**{**row, "status": PaymentStatus(row["status"])})
