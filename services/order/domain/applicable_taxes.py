"""Which rates of tax apply to an order."""

from collections.abc import Iterable
from datetime import datetime

from contracts.countries import EU_COUNTRIES
from contracts.order import TaxRate, TaxRateFields, TaxReason, TaxSettings
from contracts.tax_category import DEFAULT_TAX_CATEGORY, EXEMPT_TAX_CATEGORY
from services.order.domain.places import Place, PlaceIndex, place_of
from services.order.domain.sums import AppliedRate

NOT_COLLECTING = (AppliedRate("No tax", 0, TaxReason.NOT_COLLECTING),)
"""What applies where the merchant charges no tax."""
EXEMPT = (AppliedRate("No tax", 0, TaxReason.EXEMPT),)
"""What applies to goods that are exempt."""


class TaxTable:
    """All tax rates of the shop. A shop without any has no taxes at all."""

    def __init__(self, rates: Iterable[TaxRate]) -> None:
        self._rates = PlaceIndex((place_of_rate(rate), rate) for rate in rates)

    def rates_at(self, place: Place, category: str, at: datetime) -> tuple[AppliedRate, ...]:
        """Returns the rates on goods of a category: of each priority the one of the most specific place.

        A category without a rate at the place is taxed as the standard one: a merchant who has no rate for books there,
        or a product file with tax codes of another system, would else leave the tax to be paid by the merchant.
        """
        if not self._rates:
            return ()
        if found := self._find(place, category, at):
            return found
        if category == EXEMPT_TAX_CATEGORY:
            return EXEMPT
        return self._find(place, DEFAULT_TAX_CATEGORY, at) or NOT_COLLECTING

    def _find(self, place: Place, category: str, at: datetime) -> tuple[AppliedRate, ...]:
        by_priority: dict[int, TaxRate] = {}
        for rate in self._rates.find(place):
            if rate.category == category and _is_valid(rate, at):
                by_priority.setdefault(rate.priority, rate)
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
