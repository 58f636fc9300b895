"""Which price is in force when, and the lowest price before a reduction."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.price_plans import PricePlan, VariantPrices, plan_prices
from services.catalog.domain.price_rules import (
    SCHEDULED_PRICE,
    PricePeriod,
    PriceRule,
    plan_periods,
    price_in_force,
    quantity_breaks,
)
from services.catalog.domain.prior_prices import (
    PricePoint,
    PriceRevision,
    merge_points,
    points_in_force,
    prior_price,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PRODUCT, OLD_LIST, NEW_LIST = UUID(int=1), UUID(int=2), UUID(int=3)

days = st.integers(0, 12)
own_prices = st.builds(PriceRule, st.integers(1, 4))


def day(number: float) -> datetime:
    return START + number * DAY


@st.composite
def scheduled_prices(draw: st.DrawFn) -> PriceRule:
    list_id = draw(st.sampled_from([None, OLD_LIST, NEW_LIST]))
    start, end = draw(st.none() | days), draw(st.none() | days)
    return PriceRule(
        amount=draw(st.integers(1, 4)),
        min_quantity=draw(st.sampled_from([1, 1, 5, 10])),
        priority=draw(st.integers(1, 2)) if list_id else SCHEDULED_PRICE,
        list_id=list_id,
        starts_at=None if start is None else day(start),
        ends_at=None if end is None else day(end),
    )


rule_sets = st.builds(lambda own, others: [own, *others], own_prices, st.lists(scheduled_prices(), max_size=5))
timelines = st.lists(st.tuples(st.integers(0, 90), st.none() | st.integers(1, 5)), min_size=1, max_size=9).map(
    lambda points: merge_points([PricePoint(day(at), amount) for at, amount in sorted(dict(points).items())])
)


@given(rule_sets, days, st.integers(1, 12))
def test_the_own_price_is_in_force_unless_another_one_applies(rules: list[PriceRule], at: int, quantity: int) -> None:
    own, *others = rules
    applying = [
        rule
        for rule in others
        if rule.min_quantity <= quantity
        and (rule.starts_at is None or rule.starts_at <= day(at))
        and (rule.ends_at is None or day(at) < rule.ends_at)
    ]
    found = price_in_force(rules, day(at), quantity)
    assert found is not None
    assert (found == own) == (not applying) or found in applying
    assert all(rule.priority <= found.priority for rule in applying)
    rivals = [rule for rule in applying if (rule.priority, rule.list_id) == (found.priority, found.list_id)]
    assert all(rule.min_quantity <= found.min_quantity for rule in rivals)


@given(rule_sets, days, st.integers(1, 12))
def test_periods_say_what_is_in_force_until_when(rules: list[PriceRule], at: int, quantity: int) -> None:
    periods = plan_periods(rules, day(at), quantity)
    assert periods[0].starts_at == day(at)
    assert periods[-1].ends_at is None
    for period, following in pairwise(periods):
        assert period.ends_at == following.starts_at
        assert period.price != following.price
    for half_days in range(2 * at, 30):
        time = day(half_days / 2)
        (period,) = [one for one in periods if one.starts_at <= time and (one.ends_at is None or time < one.ends_at)]
        expected = price_in_force(rules, time, quantity)
        assert period.price == (expected and (expected.amount, expected.compare_at))


@given(rule_sets, days, st.integers(1, 30))
def test_a_quantity_has_the_price_of_the_break_below_it(rules: list[PriceRule], at: int, quantity: int) -> None:
    reached = max(number for number in quantity_breaks(rules) if number <= quantity)
    assert price_in_force(rules, day(at), quantity) == price_in_force(rules, day(at), reached)


@given(rule_sets, days, days)
def test_nothing_is_in_force_before_a_variant_is_offered(rules: list[PriceRule], offered: int, at: int) -> None:
    current = plan_periods(rules, day(at), offered_at=day(offered))[0]
    assert current.rule == (price_in_force(rules, day(at)) if at >= offered else None)


@pytest.mark.parametrize(
    ("rules", "amount"),
    [
        ([PriceRule(5), PriceRule(9, priority=SCHEDULED_PRICE)], 9),
        ([PriceRule(5), PriceRule(9, priority=SCHEDULED_PRICE), PriceRule(7, priority=1, list_id=OLD_LIST)], 7),
        ([PriceRule(7, priority=2, list_id=OLD_LIST), PriceRule(8, priority=1, list_id=NEW_LIST)], 7),
        ([PriceRule(7, priority=1, list_id=OLD_LIST), PriceRule(8, priority=1, list_id=NEW_LIST)], 8),
        ([PriceRule(7, starts_at=day(1)), PriceRule(8, starts_at=day(2)), PriceRule(9)], 8),
        ([PriceRule(7, min_quantity=5), PriceRule(8, starts_at=day(2))], 7),
    ],
    ids=["schedule", "list", "priority", "newer list", "later start", "quantity"],
)
def test_which_of_several_prices_is_in_force(rules: list[PriceRule], amount: int) -> None:
    found = price_in_force(rules, day(3), quantity=5)
    assert found is not None
    assert found.amount == amount
    assert price_in_force(rules[::-1], day(3), quantity=5) == found


def prior_of(*points: tuple[float, int | None], at: float = 0) -> int | None:
    return prior_price([PricePoint(day(number), amount) for number, amount in points], day(at))


@pytest.mark.parametrize(
    ("points", "prior"),
    [
        ([(-100, 80), (-10, 100), (0, 90)], 80),
        ([(-100, 80), (-30, 100), (0, 90)], 100),
        ([(-100, 80), (-29.9, 100), (0, 90)], 80),
        ([(-100, 100), (0, 90)], 100),
        ([(-5, 100), (0, 90)], 100),
        ([(-50, 100), (-20, 90), (0, 80)], 100),
        ([(-90, 60), (-50, 100), (-20, 90), (-10, 95), (0, 80)], 90),
        ([(-50, 100), (-20, 80), (0, 90)], None),
        ([(-50, 100)], None),
        ([(-50, 100), (-20, None), (0, 90)], 100),
        ([(-80, 100), (-50, None), (0, 90)], None),
        ([(-50, 100), (-20, None), (0, 100)], None),
        ([(-50, 100), (0, None)], None),
        ([(0, 90)], None),
    ],
    ids=[
        "a short rise",
        "carried in at the first day",
        "carried in just before",
        "long unchanged",
        "younger than 30 days",
        "progressive",
        "progressive after a rise",
        "risen",
        "never changed",
        "off sale meanwhile",
        "off sale for longer",
        "back at its price",
        "off sale",
        "just offered",
    ],
)
def test_the_prior_price(points: list[tuple[float, int | None]], prior: int | None) -> None:
    assert prior_of(*points) == prior


def at_times(points: list[PricePoint], first: float, last: float) -> list[int | None]:
    """What was in force at each quarter of a day from the first until before the last."""
    found = []
    for quarter in range(int(first * 4), int(last * 4)):
        begun = [point.amount for point in points if point.starts_at <= day(quarter / 4)]
        found.append(begun[-1] if begun else None)
    return found


@given(timelines, st.integers(0, 100))
def test_the_prior_price_is_the_lowest_of_thirty_days_before_the_first_reduction(
    points: list[PricePoint], at: int
) -> None:
    """Compared with a walk back in quarters of days."""
    past = at_times(points, -1, at + 0.25)
    reduced = None
    for index in range(len(past) - 1, 0, -1):
        now, before = past[index], past[index - 1]
        if now is None or (before is not None and before < now):
            break
        if before is None:
            last = next((amount for amount in reversed(past[:index]) if amount is not None), None)
            reduced = index if last is not None and last > now else reduced
            break
        reduced = index if before > now else reduced
    window = [] if reduced is None else [amount for amount in past[max(reduced - 120, 0) : reduced] if amount]
    assert prior_price(points, day(at)) == (min(window) if window else None)


@given(timelines)
def test_a_further_reduction_keeps_the_prior_price(points: list[PricePoint]) -> None:
    last = points[-1]
    prior = prior_price(points, last.starts_at)
    if last.amount is None or prior is None:
        return
    later = [*points, PricePoint(last.starts_at + 20 * DAY, last.amount - 1)]
    assert prior_price(later, later[-1].starts_at) == prior


revision_sets = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(1, 5)), max_size=3), min_size=1, max_size=4
)


@given(revision_sets)
def test_a_revision_replaces_what_had_not_come(plans: list[list[tuple[int, int | None]]]) -> None:
    revisions = []
    for number, plan in enumerate(plans):
        recorded = 10 * number
        points = sorted({recorded: number, **{recorded + ahead: amount for ahead, amount in plan}}.items())
        revisions.append(PriceRevision(day(recorded), tuple(PricePoint(day(at), amount) for at, amount in points)))
    found = points_in_force(revisions, day(60))
    for at in range(59):
        current = [revision for revision in revisions if revision.recorded_at <= day(at)][-1]
        expected = [point.amount for point in current.points if point.starts_at <= day(at)][-1]
        assert at_times(found, at, at + 0.25) == [expected]


def planned(*rules: PriceRule, own: int = 100, history: tuple[PriceRevision, ...] = (), at: float = 0) -> PricePlan:
    return plan_prices(VariantPrices(PRODUCT, "A-1", PriceRule(own), None, rules, history), day(at))


def test_a_plan_shows_prior_prices_of_what_is_to_come() -> None:
    history = (PriceRevision(day(-50), (PricePoint(day(-50), 100),)),)
    assert planned() == PricePlan(PRODUCT, "A-1", [], [PricePeriod(day(0), None, PriceRule(100))])
    sale = PriceRule(70, priority=SCHEDULED_PRICE, starts_at=day(5), ends_at=day(9))
    dozen = PriceRule(60, priority=SCHEDULED_PRICE, min_quantity=12)
    plan = planned(sale, dozen, history=history)
    shown = [(one.min_quantity, one.starts_at, one.ends_at, one.amount, one.prior) for one in plan.prices]
    assert shown == [
        (1, None, day(5), 100, None),
        (1, day(5), day(9), 70, 100),
        (1, day(9), None, 100, None),
        (12, None, None, 60, None),
    ]
    points = tuple(PricePoint(one.starts_at, one.rule.amount if one.rule else None) for one in plan.recorded)
    assert points == (PricePoint(day(0), 100), PricePoint(day(5), 70), PricePoint(day(9), 100))
    recorded = (*history, PriceRevision(day(0), points))
    assert not planned(sale, dozen, history=recorded, at=1).recorded
    assert not planned(sale, dozen, history=recorded, at=6).recorded
    assert planned(dozen, history=recorded, at=1).recorded
    reduced = planned(own=90, history=recorded, at=20)
    assert [(one.amount, one.prior) for one in reduced.prices] == [(90, 70)]
    assert (plan.has_other_prices, reduced.has_other_prices) == (True, False)
    assert planned(history=recorded, at=20) == PricePlan(PRODUCT, "A-1", [], [])
