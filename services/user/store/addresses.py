"""SQL of customers' addresses."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts.failure import NotFound
from contracts.order import Address
from contracts.user import MAX_ADDRESSES, SavedAddress, TooManyAddresses
from infra.database.postgres import Connection

_COLUMNS = "id, name, line1, line2, city, region, postal_code, country, phone, company, vat_id"
# The account's row is locked, so that of two concurrent additions the second counts the first.
_LOCK_ACCOUNT = "SELECT id FROM account WHERE id = $1 FOR UPDATE"
_COUNT = "SELECT count(*) FROM address WHERE account_id = $1"
_ADD = f"""
INSERT INTO address (account_id, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING {_COLUMNS}
"""  # noqa: S608 - our own columns
_REPLACE = f"""
UPDATE address
SET name = $3, line1 = $4, line2 = $5, city = $6, region = $7, postal_code = $8, country = $9, phone = $10,
    company = $11, vat_id = $12
WHERE account_id = $1 AND id = $2 RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
_REMOVE = "DELETE FROM address WHERE account_id = $1 AND id = $2 RETURNING id"
_GET = f"SELECT {_COLUMNS} FROM address WHERE account_id = $1 AND id = $2"  # noqa: S608 - as above
_LIST = f"SELECT {_COLUMNS} FROM address WHERE account_id = $1 AND id > $2 ORDER BY id LIMIT $3"  # noqa: S608 - as above

_LOWEST_ID = UUID(int=0)


async def require_capacity(connection: Connection, account_id: UUID) -> None:
    """Locks the account until the commit; raises when it does not exist or has no room for another address."""
    if await connection.fetchval(_LOCK_ACCOUNT, account_id) is None:
        raise NotFound
    if await connection.fetchval(_COUNT, account_id) >= MAX_ADDRESSES:
        raise TooManyAddresses


async def add(connection: Connection, account_id: UUID, address_id: UUID, address: Address) -> SavedAddress:
    """Inserts an address and returns it."""
    return _to_contract(await connection.fetchrow(_ADD, account_id, address_id, *_columns(address)))


async def replace(connection: Connection, account_id: UUID, address_id: UUID, address: Address) -> SavedAddress:
    """Replaces an address of the account and returns it; raises `NotFound` when it has none with this id."""
    return _to_contract(await connection.fetchrow(_REPLACE, account_id, address_id, *_columns(address)))


async def remove(connection: Connection, account_id: UUID, address_id: UUID) -> None:
    """Deletes an address of the account; raises `NotFound` when it has none with this id."""
    if await connection.fetchval(_REMOVE, account_id, address_id) is None:
        raise NotFound


async def get(connection: Connection, account_id: UUID, address_id: UUID) -> SavedAddress:
    """Returns an address of the account; raises `NotFound` when it has none with this id."""
    return _to_contract(await connection.fetchrow(_GET, account_id, address_id))


async def page(connection: Connection, account_id: UUID, after: UUID | None, limit: int) -> list[SavedAddress]:
    """Returns up to `limit` addresses of the account after an id, oldest first."""
    return [_to_contract(row) for row in await connection.fetch(_LIST, account_id, after or _LOWEST_ID, limit)]


def _columns(address: Address) -> tuple[str | None, ...]:
    return (
        address.name,
        address.line1,
        address.line2,
        address.city,
        address.region,
        address.postal_code,
        address.country,
        address.phone,
        address.company,
        address.vat_id,
    )


def _to_contract(row: Mapping[str, Any] | None) -> SavedAddress:
    if row is None:
        raise NotFound
    return SavedAddress.model_validate(dict(row), strict=False)
