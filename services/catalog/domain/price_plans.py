"""Plans the prices of a variant: what is in force when, with prior prices, and what is new in its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.catalog.domain.price_rules import PricePeriod, PriceRule, plan_periods, quantity_breaks
from services.catalog.domain.prior_prices import PricePoint, PriceRevision, merge_points, points_in_force, prior_price


@dataclass(frozen=True, slots=True)
class VariantPrices:
    """What a variant's prices are made from. Without its own price it is not on sale."""

    product_id: UUID
    sku: str
    own: PriceRule | None
    offered_at: datetime | None
    """From when it is on sale; None for the beginning."""
    rules: Sequence[PriceRule]
    """Its prices beside its own."""
    history: Sequence[PriceRevision]


@dataclass(frozen=True, slots=True)
class PlannedPrice:
    """A price from a quantity on, in force from its start (None for the beginning) until before its end."""

    min_quantity: int
    starts_at: datetime | None
    ends_at: datetime | None
    amount: int
    compare_at: int | None
    prior: int | None


@dataclass(frozen=True, slots=True)
class PricePlan:
    """The plan of a variant. Without prices, its own price is in force for ever and is no reduction."""

    product_id: UUID
    sku: str
    prices: Sequence[PlannedPrice]
    recorded: Sequence[PricePeriod]
    """What to add to the history; nothing if that says the same already."""
    has_other_prices: bool = False
    """Whether prices beside its own are in force or to come."""


def plan_prices(variant: VariantPrices, at: datetime) -> PricePlan:
    """The plan from that time on. It replaces what was planned before."""
    rules = _offered_rules(variant, at)
    periods = plan_periods(rules, at, offered_at=variant.offered_at)
    points = [PricePoint(period.starts_at, period.rule.amount if period.rule else None) for period in periods]
    past = points_in_force(variant.history, at)
    timeline = merge_points([*past, *points])
    priors = {period.starts_at: prior_price(timeline, period.starts_at) for period in periods}
    has_other_prices = len(rules) > 1
    is_planned = has_other_prices or any(prior is not None for prior in priors.values())
    prices = _planned_prices(variant, rules, at, priors) if is_planned else []
    is_recorded = points_ahead(variant.history, at) == merge_points(points)
    return PricePlan(variant.product_id, variant.sku, prices, [] if is_recorded else periods, has_other_prices)


def points_ahead(history: Sequence[PriceRevision], at: datetime) -> list[PricePoint]:
    """What the history says from that time on: the price in force, and those that are to come."""
    if not history:
        return [PricePoint(at, None)]
    points = merge_points(history[-1].points)
    begun = [point for point in points if point.starts_at <= at]
    current = begun[-1].amount if begun else None
    return merge_points([PricePoint(at, current), *points[len(begun) :]])


def _offered_rules(variant: VariantPrices, at: datetime) -> list[PriceRule]:
    """The rules that apply now or later; none for a variant that is not on sale."""
    own = variant.own
    if own is None:
        return []
    ahead = [rule for rule in variant.rules if rule.ends_at is None or rule.ends_at > at]
    return [own, *(replace(rule, compare_at=rule.compare_at or own.compare_at) for rule in ahead)]


def _planned_prices(
    variant: VariantPrices, rules: Sequence[PriceRule], at: datetime, priors: Mapping[datetime, int | None]
) -> list[PlannedPrice]:
    return [
        PlannedPrice(
            min_quantity=quantity,
            starts_at=period.starts_at if period.starts_at > at else None,
            ends_at=period.ends_at,
            amount=period.rule.amount,
            compare_at=period.rule.compare_at,
            prior=priors.get(period.starts_at) if quantity == 1 else None,
        )
        for quantity in quantity_breaks(rules)
        for period in plan_periods(rules, at, quantity, variant.offered_at)
        if period.rule is not None
    ]
