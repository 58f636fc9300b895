"""The statements of price lists, of the prices of products beside their variants' own, and of what was in force."""

from typing import Any
from uuid import UUID

import asyncpg

from contracts.catalog.price_lists import (
    CreatePrice,
    PriceExists,
    PriceHistoryEntry,
    PriceList,
    PriceListFields,
    ScheduledPrice,
)
from contracts.money import Money
from infra.database.postgres import Connection

_LIST_COLUMNS = "id, name, priority, starts_at, ends_at"
_GET_LIST = f"SELECT {_LIST_COLUMNS} FROM price_list WHERE id = $1"  # noqa: S608 - constants
_LOCK_LIST = f"{_GET_LIST} FOR UPDATE"
_HOLD_LIST = "SELECT true FROM price_list WHERE id = $1 FOR SHARE"
_LISTS = f"""
SELECT {_LIST_COLUMNS} FROM price_list WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2
"""  # noqa: S608 - constants
_PUT_LIST = f"""
INSERT INTO price_list ({_LIST_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, priority = excluded.priority, starts_at = excluded.starts_at, ends_at = excluded.ends_at
RETURNING {_LIST_COLUMNS}
"""  # noqa: S608 - constants
_DELETE_PRICES_OF_LIST = "DELETE FROM price WHERE list_id = $1"
_DELETE_LIST = "DELETE FROM price_list WHERE id = $1"
_LOCK_PRODUCTS_OF_LIST = """
SELECT id FROM product WHERE id IN (SELECT product_id FROM price WHERE list_id = $1) ORDER BY id FOR NO KEY UPDATE
"""
_COLUMNS = "id, product_id, sku, list_id, currency, price, compare_at_price, min_quantity, starts_at, ends_at"
_PRICES = f"""
SELECT {_COLUMNS} FROM price WHERE product_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3
"""  # noqa: S608 - constants
_COUNT = """
SELECT (SELECT count(*) FROM price WHERE product_id = $1 AND sku = $2) AS of_sku,
       (SELECT count(*) FROM price WHERE list_id = $3) AS of_list
"""
_INSERT = f"""
INSERT INTO price ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_DELETE = f"DELETE FROM price WHERE id = $1 AND product_id = $2 RETURNING {_COLUMNS}"  # noqa: S608 - constants
_HISTORY = """
SELECT id, sku, price, currency, list_id, starts_at, recorded_at FROM price_history
WHERE product_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
"""
_PRODUCT_EXISTS = "SELECT EXISTS (SELECT FROM product WHERE id = $1)"
_NEWEST = 2**63 - 1


def parse_position(position: Any) -> int:
    """A position in the history, from a cursor."""
    if not isinstance(position, int) or not 0 < position <= _NEWEST:
        raise ValueError
    return position


async def get_list(connection: Connection, list_id: UUID) -> PriceList | None:
    """The price list."""
    row = await connection.fetchrow(_GET_LIST, list_id)
    return PriceList(**row) if row else None


async def lock_list(connection: Connection, list_id: UUID) -> PriceList | None:
    """The price list, to change it; until the end of the transaction it gets no prices."""
    row = await connection.fetchrow(_LOCK_LIST, list_id)
    return PriceList(**row) if row else None


async def hold_list(connection: Connection, list_id: UUID) -> bool:
    """Whether the list exists; it does not change until the end of the transaction.

    Lists are locked before products, by all who lock both.
    """
    return bool(await connection.fetchval(_HOLD_LIST, list_id))


async def list_lists(connection: Connection, after: UUID | None, limit: int) -> list[PriceList]:
    """Price lists, the oldest first."""
    return [PriceList(**row) for row in await connection.fetch(_LISTS, after, limit)]


async def put_list(connection: Connection, list_id: UUID, fields: PriceListFields) -> PriceList:
    """Stores a price list, new or changed."""
    values = (fields.name, fields.priority, fields.starts_at, fields.ends_at)
    row = await connection.fetchrow(_PUT_LIST, list_id, *values)
    assert row is not None, "the statement writes a row"
    return PriceList(**row)


async def delete_list(connection: Connection, list_id: UUID) -> None:
    """Deletes a price list with its prices."""
    await connection.execute(_DELETE_PRICES_OF_LIST, list_id)
    await connection.execute(_DELETE_LIST, list_id)


async def lock_products_of_list(connection: Connection, list_id: UUID) -> list[UUID]:
    """The products with prices in a list, whose rows are locked in the order of their ids."""
    return [row["id"] for row in await connection.fetch(_LOCK_PRODUCTS_OF_LIST, list_id)]


async def product_exists(connection: Connection, product_id: UUID) -> bool:
    """Whether there is such a product, on sale or not."""
    return bool(await connection.fetchval(_PRODUCT_EXISTS, product_id))


async def list_prices(connection: Connection, product_id: UUID, after: UUID | None, limit: int) -> list[ScheduledPrice]:
    """The prices of a product, the oldest first."""
    return [_to_price(row) for row in await connection.fetch(_PRICES, product_id, after, limit)]


async def count_prices(connection: Connection, body: CreatePrice) -> tuple[int, int]:
    """How many prices the SKU has, and how many the list."""
    row = await connection.fetchrow(_COUNT, body.id, body.sku, body.list_id)
    assert row is not None, "the statement has one row"
    return row["of_sku"], row["of_list"]


async def insert_price(connection: Connection, price_id: UUID, body: CreatePrice) -> ScheduledPrice:
    """Stores a new price; raises `PriceExists` if another one begins at the same time for the same quantity."""
    compare_at = body.compare_at_price.amount if body.compare_at_price else None
    amounts = (body.price.currency, body.price.amount, compare_at)
    times = (body.min_quantity, body.starts_at, body.ends_at)
    try:
        row = await connection.fetchrow(_INSERT, price_id, body.id, body.sku, body.list_id, *amounts, *times)
    except asyncpg.UniqueViolationError as error:
        raise PriceExists from error
    return _to_price(row)


async def delete_price(connection: Connection, product_id: UUID, price_id: UUID) -> ScheduledPrice | None:
    """Deletes a price of a product and returns it."""
    row = await connection.fetchrow(_DELETE, price_id, product_id)
    return _to_price(row) if row else None


async def list_history(
    connection: Connection, product_id: UUID, before: int | None, limit: int
) -> list[tuple[int, PriceHistoryEntry]]:
    """The history of a product's prices, the latest first, each entry with its position."""
    rows = await connection.fetch(_HISTORY, product_id, before or _NEWEST, limit)
    return [(row["id"], _to_entry(row)) for row in rows]


def _to_price(row: Any) -> ScheduledPrice:
    compare_at, currency = row["compare_at_price"], row["currency"]
    return ScheduledPrice(
        id=row["id"],
        product_id=row["product_id"],
        sku=row["sku"],
        list_id=row["list_id"],
        price=Money(amount=row["price"], currency=currency),
        compare_at_price=None if compare_at is None else Money(amount=compare_at, currency=currency),
        min_quantity=row["min_quantity"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
    )


def _to_entry(row: Any) -> PriceHistoryEntry:
    return PriceHistoryEntry(
        sku=row["sku"],
        price=None if row["price"] is None else Money(amount=row["price"], currency=row["currency"]),
        list_id=row["list_id"],
        starts_at=row["starts_at"],
        recorded_at=row["recorded_at"],
    )
