"""The statements of tax rates."""

from typing import Any
from uuid import UUID

from contracts.order import TaxRate, TaxRateFields, TaxReason
from infra.database.postgres import Connection

_COLUMNS = (
    "id, category, country, region, postal_prefix, rate_ppm, name, compound, priority, valid_from, valid_to, reason"
)
_GET = f"SELECT {_COLUMNS} FROM tax_rate WHERE id = $1"  # noqa: S608 - constants
_PAGE = f"""
SELECT {_COLUMNS} FROM tax_rate WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2
"""  # noqa: S608 - constants
_OF_COUNTRY = f"SELECT {_COLUMNS} FROM tax_rate WHERE country = $1 AND id <> $2"  # noqa: S608 - constants
_PUT = f"""
INSERT INTO tax_rate ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (id) DO UPDATE SET
    category = excluded.category, country = excluded.country, region = excluded.region,
    postal_prefix = excluded.postal_prefix, rate_ppm = excluded.rate_ppm, name = excluded.name,
    compound = excluded.compound, priority = excluded.priority, valid_from = excluded.valid_from,
    valid_to = excluded.valid_to, reason = excluded.reason
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_DELETE = "DELETE FROM tax_rate WHERE id = $1 RETURNING true"


async def get(connection: Connection, rate_id: UUID) -> TaxRate | None:
    """Returns the rate."""
    row = await connection.fetchrow(_GET, rate_id)
    return _to_rate(row) if row else None


async def list_page(connection: Connection, after: UUID | None, limit: int) -> list[TaxRate]:
    """Returns at most `limit` rates, the oldest first."""
    return [_to_rate(row) for row in await connection.fetch(_PAGE, after, limit)]


async def list_others(connection: Connection, country: str, rate_id: UUID) -> list[TaxRate]:
    """Returns the rates of a country except this one."""
    return [_to_rate(row) for row in await connection.fetch(_OF_COUNTRY, country, rate_id)]


async def put(connection: Connection, rate_id: UUID, fields: TaxRateFields) -> TaxRate:
    """Stores the rate, new or changed."""
    row = await connection.fetchrow(
        _PUT,
        rate_id,
        fields.category,
        fields.country,
        fields.region,
        fields.postal_prefix,
        fields.rate_ppm,
        fields.name,
        fields.compound,
        fields.priority,
        fields.valid_from,
        fields.valid_to,
        fields.reason,
    )
    return _to_rate(row)


async def delete(connection: Connection, rate_id: UUID) -> bool:
    """Returns whether the rate existed."""
    return bool(await connection.fetchval(_DELETE, rate_id))


def _to_rate(row: Any) -> TaxRate:
    return TaxRate(**{**row, "reason": TaxReason(row["reason"])})
