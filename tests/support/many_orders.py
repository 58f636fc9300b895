"""Fills the order service's database with many orders: `await fill_orders(connection, 1_000_000)`.

The rows are those that the service would write. Each customer has 20 orders, spread over 600 days. Most orders are
delivered, few wait for something; pending ones are not given up on the day that they are generated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

ORDERS_OF_CUSTOMER = 20
DAYS = 600
CHUNK = 50_000
_SETTINGS = "SET statement_timeout = 0; SET synchronous_commit = off"
_GENERATE = """
WITH drawn AS (
    SELECT n, 500 + n * 37 % 20000 AS price,
           now() - interval '601 days' + (n - $1) * (interval '600 days' / $3::int) AS at,
           ('00000000-0000-7000-8000-' || lpad(to_hex($1 + n % ($3::int / 20)), 12, '0'))::uuid AS user_id,
           CASE WHEN draw < 1 THEN 'pending' WHEN draw < 2 THEN 'refunded' WHEN draw < 4 THEN 'cancelled'
                WHEN draw < 10 THEN 'paid' WHEN draw < 20 THEN 'shipped' ELSE 'delivered' END AS status
    FROM generate_series($2::int, least($2::int + $4::int, $1 + $3::int) - 1) AS n,
         LATERAL (SELECT n % 100 * 79 % 100) AS d (draw)
),
dated AS (
    SELECT *, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at_text,
           (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
               || '70008000' || lpad(to_hex(n), 12, '0'))::uuid AS id
    FROM drawn
)
INSERT INTO orders (
    id, version, status, user_id, hold_id, currency, subtotal, discount, shipping, tax, total, items, shipping_method,
    shipping_address, payment_id, tracking, history, pay_by, created_at, updated_at
)
SELECT id, 1, status, user_id, id, 'USD', 2 * price, 0, 500, price / 5, 2 * price + 500 + price / 5,
       jsonb_build_array(jsonb_build_object(
           'sku', 'P' || lpad((n % 100000)::text, 6, '0') || '-1', 'product_id', id, 'name', 'Woven linen basket ' || n,
           'options', jsonb_build_object('Size', 'M'), 'quantity', 2,
           'unit_price', jsonb_build_object('amount', price, 'currency', 'USD'),
           'line_total', jsonb_build_object('amount', 2 * price, 'currency', 'USD')
       )),
       'standard',
       jsonb_build_object('name', 'Ada Lovelace', 'line1', n || ' St James''s Square', 'line2', NULL, 'city', 'London',
                          'region', NULL, 'country', 'GB', 'postal_code', 'SW1Y 4JH', 'phone', NULL),
       CASE WHEN status NOT IN ('pending', 'cancelled') THEN id END,
       CASE WHEN status IN ('shipped', 'delivered')
            THEN jsonb_build_object('carrier', 'Royal Mail', 'number', 'RM' || n) END,
       (SELECT jsonb_agg(jsonb_build_object('status', reached, 'at', at_text, 'note', NULL))
        FROM unnest(CASE WHEN status = 'pending' THEN ARRAY['pending'] ELSE ARRAY['pending', status] END) AS reached),
       CASE WHEN status = 'pending' THEN now() + interval '1 day' ELSE at + interval '15 minutes' END, at, at
FROM dated
"""


@dataclass(frozen=True, slots=True)
class GeneratedOrders:
    """Whose orders were generated."""

    orders: int
    customers: Sequence[UUID]


async def fill_orders(connection: Any, orders: int, *, first: int = 1) -> GeneratedOrders:
    """Inserts orders in transactions of 50,000, and updates the planner's statistics."""
    await connection.execute(_SETTINGS)
    generated = await insert_orders(connection, orders, first=first)
    await connection.execute("VACUUM ANALYZE orders")
    return generated


async def insert_orders(connection: Any, orders: int, *, first: int = 1) -> GeneratedOrders:
    """Inserts the orders numbered from `first`; the numbers of two calls must not overlap."""
    for start in range(first, first + orders, CHUNK):
        await connection.execute(_GENERATE, first, start, orders, CHUNK)
    numbers = range(first, first + orders // ORDERS_OF_CUSTOMER)
    return GeneratedOrders(orders, [UUID(int=(0x7 << 76) + (0x8 << 60) + number) for number in numbers])
