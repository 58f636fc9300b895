"""Which rates of tax apply to an order."""

from collections.abc import Iterable
from datetime import datetime

from contracts.countries import EU_COUNTRIES
from contracts.order import TaxRate, TaxRateFields, TaxReason, TaxSettings
from services.order.domain.places import Place, PlaceIndex, place_of
from services.order.domain.sums import AppliedRate

NOT_COLLECTING = (AppliedRate("No tax", 0, TaxReason.NOT_COLLECTING),)
"""What applies where the merchant charges no tax."""


class TaxTable:
    """All tax rates of the shop. A shop without any has no taxes at all."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._rates = PlaceIndex((place_of_rate(rate), rate) for rate in rates)

    def rates_at(self, place: Place, category: str, at: datetime) -> tuple[AppliedRate, ...]:
        """Returns the rates on goods of a category: of each priority the one of the most specific place."""
        by_priority: dict[int, TaxRate] = {}
        for rate in self._rates.find(place):
            if rate.category == category and _is_valid(rate, at):
                by_priority.setdefault(rate.priority, rate)
        if not by_priority:
            return NOT_COLLECTING if self._rates else ()
        return tuple(_to_applied(by_priority[priority]) for priority in sorted(by_priority))


def place_of_rate(rate: TaxRate | TaxRateFields) -> Place:
    """Returns the place that a rate is for."""
    return place_of(rate.country, rate.region, rate.postal_prefix)


def taxing_place(settings: TaxSettings, destination: Place) -> Place:
    """Returns where the goods are taxed: where they go, or at home for a shop that sells within the EU without OSS."""
    home = settings.seller_country
    is_within_eu = home in EU_COUNTRIES and destination.country in EU_COUNTRIES
    if home is not None and is_within_eu and not settings.oss and destination.country != home:
        return Place(home)
    return destination


def overlaps(one: TaxRateFields, other: TaxRate) -> bool:
    """Whether two rates would apply as one: of the same category, place and priority, and valid at one time."""
    return (
        (one.category, one.priority, place_of_rate(one)) == (other.category, other.priority, place_of_rate(other))
        and (one.valid_from is None or other.valid_to is None or one.valid_from < other.valid_to)
        and (other.valid_from is None or one.valid_to is None or other.valid_from < one.valid_to)
    )


def _is_valid(rate: TaxRate, at: datetime) -> bool:
    return (rate.valid_from is None or rate.valid_from <= at) and (rate.valid_to is None or at < rate.valid_to)


def _to_applied(rate: TaxRate) -> AppliedRate:
    return AppliedRate(rate.name, rate.rate_ppm, rate.reason, rate.compound)
