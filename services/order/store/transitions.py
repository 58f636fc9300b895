"""How a stored order changes: one statement locks its row, checks its status and changes it."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.order import Address, OrderHistoryEntry, OrderStatus
from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.domain.states import Transition
from services.order.store.records import COLUMNS, HISTORY, to_record


class FindBy(Enum):
    """The column by which an order is found."""

    ID = "id = $1"
    HOLD = "hold_id = $1"


def _update(condition: str) -> str:
    return f"""
    WITH old AS (
        SELECT id, status FROM orders
        WHERE status = ANY($2::text[]) AND (fulfilments IS NULL OR $3::text <> 'cancelled') AND {condition}
    )
    UPDATE orders SET
        status = $3, updated_at = $4, version = version + 1, history = history || $5::text::jsonb,
        payment_id = COALESCE($6, payment_id)
    FROM old WHERE orders.id = old.id
    RETURNING {COLUMNS}, old.status AS previous_status
    """  # noqa: S608 - constants


_APPLY: Mapping[FindBy, str] = MappingProxyType({by: _update(f"{by.value} FOR UPDATE") for by in FindBy})
_APPLY_DUE = _update("status = 'pending' AND pay_by <= now() ORDER BY pay_by LIMIT $1 FOR UPDATE SKIP LOCKED")
# Locks in the order of ids, so that two processes cannot deadlock.
_CAPTURE = f"""
WITH captured AS (
    SELECT * FROM unnest($1::uuid[], $5::uuid[]) AS captured (order_id, payment_id)
), old AS (
    SELECT id, status, captured.payment_id FROM orders JOIN captured ON order_id = id
    WHERE status = ANY($2::text[]) ORDER BY id FOR UPDATE OF orders
)
UPDATE orders SET
    status = $3, updated_at = $4, version = version + 1, history = history || $6::text::jsonb,
    payment_id = old.payment_id
FROM old WHERE orders.id = old.id
RETURNING {COLUMNS}, old.status AS previous_status
"""  # noqa: S608 - constants
_ADD_FAILED_PAYMENT = """
UPDATE orders SET
    failed_payments = CASE WHEN $2 = ANY(failed_payments) THEN failed_payments ELSE failed_payments || $2::uuid END
WHERE id = $1 AND status = 'pending'
RETURNING cardinality(failed_payments)
"""
_CHANGE_ADDRESS = f"""
UPDATE orders SET
    shipping_address = $2::text::jsonb, updated_at = $3, version = version + 1, history = history || $4::text::jsonb
WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


async def apply(
    connection: Connection,
    transition: Transition,
    find_by: FindBy,
    key: UUID,
    *,
    at: datetime,
    payment_id: UUID | None = None,
) -> OrderRecord | None:
    """Makes the transition and returns the changed order, or None when no such order can make it.

    An order of which a parcel has left is not cancelled.
    """
    row = await connection.fetchrow(_APPLY[find_by], key, *_arguments(transition, at), payment_id)
    return to_record(row) if row else None


async def capture(
    connection: Connection, transition: Transition, payment_ids: Mapping[UUID, UUID], *, at: datetime
) -> list[OrderRecord]:
    """Makes the transition with each order by the payment that paid it, and returns those that could make it."""
    sources, target, at, history = _arguments(transition, at)
    values = (list(payment_ids), sources, target, at, list(payment_ids.values()), history)
    return [to_record(row) for row in await connection.fetch(_CAPTURE, *values)]


async def apply_due(connection: Connection, transition: Transition, *, at: datetime, limit: int) -> list[OrderRecord]:
    """Makes the transition with at most `limit` orders whose payment deadline has passed, and returns them.

    Orders that another transaction has locked are skipped.
    """
    rows = await connection.fetch(_APPLY_DUE, limit, *_arguments(transition, at), None)
    return [to_record(row) for row in rows]


def _arguments(transition: Transition, at: datetime) -> tuple[Any, ...]:
    history = _history_json(transition.target, at, transition.reason)
    return sorted(transition.sources), transition.target, at, history


def _history_json(status: OrderStatus, at: datetime, note: str | None) -> str:
    return HISTORY.dump_json([OrderHistoryEntry(status=status, at=at, note=note)]).decode()


async def add_failed_payment(connection: Connection, order_id: UUID, payment_id: UUID) -> int | None:
    """Records a failed payment of a pending order, once. Returns how many have failed, or None for other orders."""
    failed: int | None = await connection.fetchval(_ADD_FAILED_PAYMENT, order_id, payment_id)
    return failed


async def change_address(
    connection: Connection, order_id: UUID, status: OrderStatus, address: Address, *, at: datetime
) -> OrderRecord:
    """Changes the shipping address and returns the order. The caller holds the lock on its row."""
    history = _history_json(status, at, "address changed")
    address_json = address.model_dump_json(exclude_none=True)
    return to_record(await connection.fetchrow(_CHANGE_ADDRESS, order_id, address_json, at, history))
