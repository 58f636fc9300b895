"""The movements of stock: every change of the units on hand of a SKU, with its cause."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from contracts.catalog import MAX_STOCK, StockMovement, StockMovementKind
from contracts.failure import InvalidCursor
from infra.database.postgres import Connection
from infra.foundation.pagination import decode_cursor, encode_cursor

_LIST = """
SELECT s.on_hand, m.id, m.kind, m.quantity, m.reason, m.who AS user_id, h.order_id, m.at
FROM stock s
LEFT JOIN LATERAL (
    SELECT * FROM stock_movement WHERE sku = s.sku AND id < $2 ORDER BY id DESC LIMIT $3
) m ON true
LEFT JOIN hold h ON h.id = m.hold_id
WHERE s.sku = $1 ORDER BY m.id DESC
"""
_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class PagePosition:
    """Between two movements: the id of the later one, and the units on hand before it.

    From these units follow those after each movement of the next page, without adding up all movements.
    """

    movement_id: int
    on_hand: int

    @property
    def cursor(self) -> str:
        """The cursor of the page that starts here."""
        return encode_cursor(self.movement_id, self.on_hand)


@dataclass(frozen=True, slots=True)
class ListedMovement:
    """A movement, and the position before it."""

    contract: StockMovement
    position: PagePosition


def decode_position(cursor: str) -> PagePosition:
    """Where the page starts; raises `InvalidCursor` for a cursor that `PagePosition.cursor` has not made."""
    movement_id, on_hand = decode_cursor(cursor, int, int)
    if not (0 < movement_id <= _NEWEST and abs(on_hand) <= MAX_STOCK):
        raise InvalidCursor
    return PagePosition(movement_id, on_hand)


async def list_page(
    connection: Connection, sku: str, before: PagePosition | None, limit: int
) -> list[ListedMovement] | None:
    """The movements of a SKU before a position, the newest first; None for a SKU that never had stock."""
    rows = await connection.fetch(_LIST, sku, before.movement_id if before else _NEWEST, limit)
    if not rows:
        return None
    on_hand: int = before.on_hand if before else rows[0]["on_hand"]
    movements: list[ListedMovement] = []
    for row in rows:
        if row["id"] is not None:
            movements.append(_from_row(row, on_hand))
            on_hand -= row["quantity"]
    return movements


def _from_row(row: asyncpg.Record, on_hand: int) -> ListedMovement:
    user_id: UUID | None = row["user_id"]
    movement = StockMovement(
        kind=StockMovementKind(row["kind"]),
        quantity=row["quantity"],
        on_hand=on_hand,
        reason=row["reason"],
        user_id=user_id,
        order_id=row["order_id"],
        at=row["at"],
    )
    return ListedMovement(movement, PagePosition(row["id"], on_hand - row["quantity"]))
