"""How an order moves on: row locked, checked and changed in one statement, which finds it only where it may move."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from contracts.order import Address, HistoryEntry, OrderStatus, Tracking
from infra.database.postgres import Connection
from services.order.domain.orders import Kept
from services.order.domain.states import Step
from services.order.store.records import COLUMNS, HISTORY, kept


class By(Enum):
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


_MOVE: Mapping[By, str] = MappingProxyType({by: _move(f"{by.value} FOR UPDATE") for by in By})
_MOVE_DUE = _move("status = 'pending' AND pay_by <= now() ORDER BY pay_by LIMIT $1 FOR UPDATE SKIP LOCKED")
_READDRESS = f"""
UPDATE orders SET
    shipping_address = $2::text::jsonb, updated_at = $3, version = version + 1, history = history || $4::text::jsonb
WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


async def move(
    connection: Connection,
    step: Step,
    by: By,
    key: UUID,
    *,
    at: datetime,
    payment_id: UUID | None = None,
    tracking: Tracking | None = None,
) -> Kept | None:
    """The order after the step, or None when there is none that can take it."""
    shipped = tracking.model_dump_json() if tracking else None
    row = await connection.fetchrow(_MOVE[by], key, *_change(step, at), payment_id, shipped)
    return kept(row) if row else None


async def move_due(connection: Connection, step: Step, *, at: datetime, most: int) -> list[Kept]:
    """The orders that nobody paid in time, after the step; those that others work on are left to them."""
    return [kept(row) for row in await connection.fetch(_MOVE_DUE, most, *_change(step, at), None, None)]


def _change(step: Step, at: datetime) -> tuple[Any, ...]:
    return sorted(step.sources), step.target, at, _entry(step.target, at, step.reason)


def _entry(status: OrderStatus, at: datetime, note: str | None) -> str:
    return HISTORY.dump_json([HistoryEntry(status=status, at=at, note=note)]).decode()


async def readdress(
    connection: Connection, order_id: UUID, status: OrderStatus, address: Address, *, at: datetime
) -> Kept:
    """The order with another address. The caller holds its lock."""
    note = _entry(status, at, "address changed")
    return kept(await connection.fetchrow(_READDRESS, order_id, address.model_dump_json(), at, note))
