"""Which price of a variant is in force when: its own, a scheduled one, or that of a price list.

A rule applies from its start, and until before its end, to orders of its `min_quantity` or more. Of the rules that
apply, the highest priority wins: lists before scheduled prices, and these before the variant's own price. Of rules with
the same priority it is that of the newest list, then the one with the largest `min_quantity`, then the latest start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

OWN_PRICE, SCHEDULED_PRICE = -1, 0
"""Priorities of prices without a list. Those of lists begin with 1."""
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PriceRule:
    """A price of one unit in minor units. Without a start it applies from the beginning, without an end for ever."""

    amount: int
    compare_at: int | None = None
    min_quantity: int = 1
    priority: int = OWN_PRICE
    list_id: UUID | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def applies(self, at: datetime, quantity: int) -> bool:
        """Whether it applies to an order of so many units at that time."""
        has_started = self.starts_at is None or self.starts_at <= at
        return quantity >= self.min_quantity and has_started and (self.ends_at is None or at < self.ends_at)

    @property
    def precedence(self) -> tuple[int, int, int, datetime]:
        """Sorts rules: of those that apply, the last one is in force."""
        newest = self.list_id.int if self.list_id is not None else 0
        return self.priority, newest, self.min_quantity, self.starts_at or _BEGINNING


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """A time with one price: from its start until before its end. None for the rule: the variant is not on sale."""

    starts_at: datetime
    ends_at: datetime | None
    rule: PriceRule | None

    @property
    def price(self) -> tuple[int, int | None] | None:
        """The price and the one to compare it with."""
        return (self.rule.amount, self.rule.compare_at) if self.rule is not None else None


def price_in_force(rules: Sequence[PriceRule], at: datetime, quantity: int = 1) -> PriceRule | None:
    """The rule that prices each unit of an order of so many units; None if none applies."""
    return max((rule for rule in rules if rule.applies(at, quantity)), key=lambda rule: rule.precedence, default=None)


def plan_periods(
    rules: Sequence[PriceRule], at: datetime, quantity: int = 1, offered_at: datetime | None = None
) -> list[PricePeriod]:
    """The prices of an order of so many units from that time on. The first one is valid until its end.

    Before `offered_at` the variant is not on sale; None for the beginning.
    """
    changes = [offered_at, *(time for rule in rules for time in (rule.starts_at, rule.ends_at))]
    periods: list[PricePeriod] = []
    for time in sorted({at, *(time for time in changes if time is not None and time > at)}):
        is_offered = offered_at is None or offered_at <= time
        period = PricePeriod(time, None, price_in_force(rules, time, quantity) if is_offered else None)
        if periods and periods[-1].price == period.price:
            continue
        if periods:
            periods[-1] = replace(periods[-1], ends_at=time)
        periods.append(period)
    return periods


def quantity_breaks(rules: Sequence[PriceRule]) -> list[int]:
    """The quantities from which another price may apply, beginning with 1."""
    return sorted({1, *(rule.min_quantity for rule in rules)})
