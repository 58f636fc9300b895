"""The prices of variants over time: what they are made from, the plan of what is in force when, and the history.

Each change of a product's prices plans them anew, in the transaction of the change, while the product's row is locked.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from infra.database.postgres import Connection
from services.catalog.domain.price_plans import PlannedPrice, PricePlan, VariantPrices
from services.catalog.domain.price_rules import OWN_PRICE, SCHEDULED_PRICE, PricePeriod, PriceRule
from services.catalog.domain.prior_prices import PricePoint, PriceRevision
from services.catalog.domain.publication_schedule import UNSCHEDULED, read_publish_at

MAX_REVISIONS = 200
"""Rows of a variant's history that are read to find its prior price."""

_RECORD_FIRST = """
INSERT INTO price_history (product_id, sku, currency, price, starts_at, recorded_at)
SELECT v.product_id, v.sku, $2, v.price, greatest(n.at, v.publish_at), n.at
FROM variant v, (SELECT clock_timestamp() AS at) n
WHERE v.product_id = ANY($1) AND v.on_sale AND v.publish_at IS DISTINCT FROM 'infinity'
"""
_NOW = "SELECT clock_timestamp()"
_OWN_PRICES = """
SELECT product_id, sku, price, compare_at_price, on_sale, publish_at FROM variant WHERE product_id = ANY($1)
"""
_RULES = """
SELECT p.product_id, p.sku, p.price, p.compare_at_price, p.min_quantity, p.list_id, l.priority,
       greatest(p.starts_at, l.starts_at) AS starts_at, least(p.ends_at, l.ends_at) AS ends_at
FROM price p LEFT JOIN price_list l ON l.id = p.list_id WHERE p.product_id = ANY($1) AND p.currency = $2
"""
_REVISIONS = f"""
SELECT product_id, sku, price, starts_at, recorded_at FROM (
    SELECT h.*, row_number() OVER (PARTITION BY product_id, sku ORDER BY id DESC) AS place
    FROM price_history h WHERE product_id = ANY($1) AND currency = $2
) h WHERE place <= {MAX_REVISIONS} ORDER BY product_id, sku, id
"""  # noqa: S608 - a constant
_RECORD = """
INSERT INTO price_history (product_id, sku, currency, price, list_id, starts_at, recorded_at)
SELECT r.product_id, r.sku, $1, r.price, r.list_id, r.starts_at, $2
FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::uuid[], $7::timestamptz[])
    AS r (product_id, sku, price, list_id, starts_at)
"""
_FORGET_PLANS = "DELETE FROM price_period WHERE product_id = ANY($1)"
_STORE_PLANS = """
INSERT INTO price_period (product_id, sku, min_quantity, starts_at, ends_at, price, compare_at_price, prior_price)
SELECT p.product_id, p.sku, p.min_quantity, coalesce(p.starts_at, '-infinity'), p.ends_at, p.price, p.compare_at_price,
       p.prior_price
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::bigint[],
            $8::bigint[]) AS p (product_id, sku, min_quantity, starts_at, ends_at, price, compare_at_price, prior_price)
"""
_MARK_VARIANTS = """
UPDATE variant SET has_price_plan = NOT has_price_plan
WHERE product_id = ANY($1) AND has_price_plan <> (sku = ANY($2))
"""
_SHOW = """
UPDATE product p SET
    price = coalesce((
        SELECT min(coalesce(n.price, v.price))
        FROM variant v LEFT JOIN price_period n ON n.product_id = v.product_id AND n.sku = v.sku AND n.min_quantity = 1
            AND n.starts_at <= now() AND (n.ends_at IS NULL OR n.ends_at > now())
        WHERE v.product_id = p.id
    ), p.price),
    planned_prices = planned_prices(p.id),
    planned_prices_end = (
        SELECT min(time) FROM price_period n, LATERAL (VALUES (n.starts_at), (n.ends_at)) AS change (time)
        WHERE n.product_id = p.id AND time > now()
    )
WHERE p.id = ANY($1)
"""
_LOCK_DUE = """
SELECT id FROM product WHERE planned_prices_end <= now() ORDER BY planned_prices_end LIMIT $1
FOR NO KEY UPDATE SKIP LOCKED
"""
_NEXT_CHANGE = """
SELECT extract(epoch FROM min(planned_prices_end) - now())::float8 FROM product WHERE planned_prices_end IS NOT NULL
"""


async def record_first(connection: Connection, product_ids: Sequence[UUID], currency: str) -> None:
    """Begins the history of new products, whose variants the transaction has written."""
    await connection.execute(_RECORD_FIRST, product_ids, currency)


async def read_now(connection: Connection) -> datetime:
    """The time by the database's clock, which goes on during a transaction."""
    now: datetime = await connection.fetchval(_NOW)
    return now


async def read_variants(connection: Connection, product_ids: Sequence[UUID], currency: str) -> list[VariantPrices]:
    """What the prices of the products' variants are made from, also of variants that are gone but have a history."""
    own = {_key(row): row for row in await connection.fetch(_OWN_PRICES, product_ids)}
    rules: defaultdict[tuple[UUID, str], list[PriceRule]] = defaultdict(list)
    for row in await connection.fetch(_RULES, product_ids, currency):
        if row["ends_at"] is None or row["starts_at"] is None or row["starts_at"] < row["ends_at"]:
            rules[_key(row)].append(_to_rule(row))
    history = {
        key: _to_revisions(rows)
        for key, rows in groupby(await connection.fetch(_REVISIONS, product_ids, currency), _key)
    }
    return [
        _to_variant(key, own.get(key), rules[key], history.get(key, ())) for key in sorted({*own, *history}, key=str)
    ]


async def store_plans(
    connection: Connection, product_ids: Sequence[UUID], plans: Sequence[PricePlan], at: datetime, currency: str
) -> None:
    """Replaces the plans of the products, adds what is new in them to the history, and shows what is in force."""
    recorded = [(plan, period) for plan in plans for period in plan.recorded]
    if recorded:
        columns = [(plan.product_id, plan.sku, *_recorded_values(period)) for plan, period in recorded]
        await connection.execute(_RECORD, currency, at, *_transpose(columns))
    await connection.execute(_FORGET_PLANS, product_ids)
    planned = [(plan.product_id, plan.sku, *_planned_values(price)) for plan in plans for price in plan.prices]
    if planned:
        await connection.execute(_STORE_PLANS, *_transpose(planned))
    await connection.execute(_MARK_VARIANTS, product_ids, [plan.sku for plan in plans if plan.has_other_prices])
    await connection.execute(_SHOW, product_ids)


async def show_due(connection: Connection, limit: int) -> list[UUID]:
    """Shows what is in force by now of products whose prices have changed by time; returns these products."""
    product_ids = [row["id"] for row in await connection.fetch(_LOCK_DUE, limit)]
    if product_ids:
        await connection.execute(_SHOW, product_ids)
    return product_ids


async def seconds_to_next_change(connection: Connection) -> float | None:
    """Seconds until the next price changes by time; None if none will."""
    seconds: float | None = await connection.fetchval(_NEXT_CHANGE)
    return seconds


def _key(row: Any) -> tuple[UUID, str]:
    return row["product_id"], row["sku"]


def _to_rule(row: Any) -> PriceRule:
    return PriceRule(
        amount=row["price"],
        compare_at=row["compare_at_price"],
        min_quantity=row["min_quantity"],
        priority=SCHEDULED_PRICE if row["list_id"] is None else row["priority"],
        list_id=row["list_id"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
    )


def _to_revisions(rows: Iterable[Any]) -> list[PriceRevision]:
    return [
        PriceRevision(recorded_at, tuple(PricePoint(row["starts_at"], row["price"]) for row in revision))
        for recorded_at, revision in groupby(rows, lambda row: row["recorded_at"])
    ]


def _to_variant(
    key: tuple[UUID, str], own: Any | None, rules: Sequence[PriceRule], history: Sequence[PriceRevision]
) -> VariantPrices:
    """The variant. One that is off sale, a draft or gone has no price."""
    offered_at = read_publish_at(own["publish_at"]) if own is not None else None
    if own is None or not own["on_sale"] or offered_at == UNSCHEDULED:
        return VariantPrices(*key, None, None, rules, history)
    price = PriceRule(own["price"], own["compare_at_price"], priority=OWN_PRICE)
    return VariantPrices(*key, price, offered_at, rules, history)


def _recorded_values(period: PricePeriod) -> tuple[Any, ...]:
    rule = period.rule
    return (rule.amount, rule.list_id, period.starts_at) if rule is not None else (None, None, period.starts_at)


def _planned_values(price: PlannedPrice) -> tuple[Any, ...]:
    return price.min_quantity, price.starts_at, price.ends_at, price.amount, price.compare_at, price.prior


def _transpose(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
