"""The statements of shipping zones."""

from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.order import ShippingMethod, ShippingPlace, ShippingZone, ShippingZoneFields
from infra.database.postgres import Connection

_PLACES = TypeAdapter(list[ShippingPlace])
_METHODS = TypeAdapter(list[ShippingMethod])
_COLUMNS = "id, name, places::text AS places, methods::text AS methods"
_GET = f"SELECT {_COLUMNS} FROM shipping_zone WHERE id = $1"  # noqa: S608 - constants
_PAGE = f"""
SELECT {_COLUMNS} FROM shipping_zone WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2
"""  # noqa: S608 - constants
_OTHERS = f"SELECT {_COLUMNS} FROM shipping_zone WHERE id <> $1"  # noqa: S608 - constants
_PUT = f"""
INSERT INTO shipping_zone (id, name, places, methods) VALUES ($1, $2, $3::text::jsonb, $4::text::jsonb)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, places = excluded.places, methods = excluded.methods
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_DELETE = "DELETE FROM shipping_zone WHERE id = $1 RETURNING true"


async def get(connection: Connection, zone_id: UUID) -> ShippingZone | None:
    """Returns the zone."""
    row = await connection.fetchrow(_GET, zone_id)
    return _to_zone(row) if row else None


async def list_page(connection: Connection, after: UUID | None, limit: int) -> list[ShippingZone]:
    """Returns at most `limit` zones, the oldest first."""
    return [_to_zone(row) for row in await connection.fetch(_PAGE, after, limit)]


async def list_others(connection: Connection, zone_id: UUID) -> list[ShippingZone]:
    """Returns all zones except this one."""
    return [_to_zone(row) for row in await connection.fetch(_OTHERS, zone_id)]


async def put(connection: Connection, zone_id: UUID, fields: ShippingZoneFields) -> ShippingZone:
    """Stores the zone, new or changed."""
    places = _PLACES.dump_json(fields.places).decode()
    methods = _METHODS.dump_json(fields.methods, by_alias=True).decode()
    return _to_zone(await connection.fetchrow(_PUT, zone_id, fields.name, places, methods))


async def delete(connection: Connection, zone_id: UUID) -> bool:
    """Returns whether the zone existed."""
    return bool(await connection.fetchval(_DELETE, zone_id))


def _to_zone(row: Any) -> ShippingZone:
    return ShippingZone(
        id=row["id"],
        name=row["name"],
        places=_PLACES.validate_json(row["places"]),
        methods=_METHODS.validate_json(row["methods"]),
    )
