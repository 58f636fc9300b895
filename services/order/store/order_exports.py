"""How orders are read for an exported file."""

from collections.abc import Mapping, Sequence
from typing import Any

from infra.database.postgres import Connection
from services.order.store.queries import OrderFilter, conditions_of

_COLUMNS = """
    id, serial, status, created_at, user_id, email, shipping_address ->> 'name' AS name,
    shipping_address ->> 'country' AS country, coalesce(billing_address, shipping_address) ->> 'company' AS company,
    coalesce(billing_address, shipping_address) ->> 'vat_id' AS vat_id,
    (
        SELECT string_agg((item ->> 'quantity') || ' x ' || (item ->> 'sku'), '; ' ORDER BY position)
        FROM jsonb_array_elements(items) WITH ORDINALITY AS entry (item, position)
    ) AS items,
    currency, subtotal, discount, shipping, tax, total, tax_included, coupon, payment_id
"""


async def list_page(connection: Connection, order_filter: OrderFilter, limit: int) -> Sequence[Mapping[str, Any]]:
    """Returns at most `limit` rows of orders, the newest first."""
    where, values = conditions_of(order_filter, first_place=2)
    statement = f"SELECT {_COLUMNS} FROM orders WHERE {where} ORDER BY id DESC LIMIT $1"  # noqa: S608 - constants
    rows: Sequence[Mapping[str, Any]] = await connection.fetch(statement, limit, *values)
    return rows
