"""How an order moves on: row locked, checked and changed in one statement, which finds it only where it may move."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.order import Address, OrderHistoryEntry, OrderStatus, ShipmentTracking
from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.domain.states import Transition
from services.order.store.records import COLUMNS, HISTORY, to_record


class FindBy(Enum):
    """What an order is found by."""

    ID = "id = $1"
    HOLD = "hold_id = $1"


def _move(found: str) -> str:
    return f"""
    WITH old AS (SELECT id, status FROM orders WHERE status = ANY($2::text[]) AND {found})
    UPDATE orders SET
        status = $3, updated_at = $4, version = version + 1, history = history || $5::text::jsonb,
        payment_id = COALESCE($6, payment_id), tracking = COALESCE($7::text::jsonb, tracking)
    FROM old WHERE orders.id = old.id
    RETURNING {COLUMNS}, old.status AS was
    """  # noqa: S608 - constants


_MOVE: Mapping[FindBy, str] = MappingProxyType({by: _move(f"{by.value} FOR UPDATE") for by in FindBy})
_MOVE_DUE = _move("status = 'pending' AND pay_by <= now() ORDER BY pay_by LIMIT $1 FOR UPDATE SKIP LOCKED")
_READDRESS = f"""
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
    tracking: ShipmentTracking | None = None,
) -> OrderRecord | None:
    """The order after the step, or None when there is none that can take it."""
    shipped = tracking.model_dump_json() if tracking else None
    row = await connection.fetchrow(_MOVE[find_by], key, *_change(transition, at), payment_id, shipped)
    return to_record(row) if row else None


async def apply_due(connection: Connection, transition: Transition, *, at: datetime, limit: int) -> list[OrderRecord]:
    """The orders that nobody paid in time, after the step; those that others work on are left to them."""
    return [to_record(row) for row in await connection.fetch(_MOVE_DUE, limit, *_change(transition, at), None, None)]


def _change(step: Transition, at: datetime) -> tuple[Any, ...]:
    return sorted(step.sources), step.target, at, _entry(step.target, at, step.reason)


def _entry(status: OrderStatus, at: datetime, note: str | None) -> str:
    return HISTORY.dump_json([OrderHistoryEntry(status=status, at=at, note=note)]).decode()


async def change_address(
    connection: Connection, order_id: UUID, status: OrderStatus, address: Address, *, at: datetime
) -> OrderRecord:
    """The order with another address. The caller holds its lock."""
    note = _entry(status, at, "address changed")
    return to_record(await connection.fetchrow(_READDRESS, order_id, address.model_dump_json(), at, note))
