"""Counts how many of the products found have each value of a facet, and chooses the values that a result shows."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from services.catalog.domain.facet_ids import KIND_BITS, MAX_VALUES, VALUE_BITS, ValueKind
from services.catalog.domain.search import PRICE_STEPS, price_range

MAX_CATEGORY_FACETS = 200
VALUES = "values"
"""The facets `tag`, `attribute` and `option`, which are counted together."""
_KIND_MASK = (1 << KIND_BITS) - 1


@dataclass(slots=True)
class FacetCounts:
    """How many products have each value. Each facet counts those that match all filters but its own."""

    category: Counter[str] = field(default_factory=Counter)
    """By slug. A category counts the products of those below it too."""
    price: Counter[int] = field(default_factory=Counter)
    """By the number of the price range, from 1."""
    rating: Counter[int] = field(default_factory=Counter)
    """By the whole stars of their average, which is 1 or more."""
    values: Counter[int] = field(default_factory=Counter)
    """By the number of the tag, attribute or option. A product that is not indexed yet has none of them."""

    def add_categories(self, products: Mapping[Any, int], lineages: Mapping[str, Sequence[str]]) -> None:
        """Adds the products of categories by their lineages: a slug and those above it. Others have no category."""
        for category, count in products.items():
            for slug in lineages.get(category, ()):
                self.category[slug] += count

    def add_prices(self, prices: Iterable[int]) -> None:
        """Adds a product for each price, in minor units."""
        self.price.update([bisect_right(PRICE_STEPS, price) for price in prices])

    def add_ratings(self, averages: Iterable[float]) -> None:
        """Adds a product for each average of 1 or more."""
        self.rating.update([int(average) for average in averages if average >= 1])

    def shown_categories(self) -> list[tuple[str, int]]:
        """The categories of the most products, by descending count."""
        return sorted(self.category.items(), key=lambda item: (-item[1], item[0]))[:MAX_CATEGORY_FACETS]

    def shown_prices(self) -> list[tuple[str, int]]:
        """The ranges in ascending order."""
        return [(price_range(step), count) for step, count in sorted(self.price.items())]

    def shown_ratings(self) -> list[tuple[str, int]]:
        """In descending order. A rating counts the products with that average or more, as the filter does."""
        stars = sorted(self.rating, reverse=True)
        return list(zip(map(str, stars), accumulate(self.rating[one] for one in stars), strict=True))

    def shown_values(self) -> dict[ValueKind, list[tuple[int, int]]]:
        """The values of each kind that the most products have, with their counts, in any order.

        Of equally frequent ones, the numbers decide.
        """
        shown: dict[ValueKind, list[tuple[int, int]]] = {kind: [] for kind in ValueKind}
        by_kind = list(shown.values())
        for item in self.values.items():
            by_kind[item[0] & _KIND_MASK].append(item)
        for kind, items in shown.items():
            if len(items) > MAX_VALUES[kind]:
                items.sort(key=lambda item: (-item[1], item[0]))
                del items[MAX_VALUES[kind] :]
        return shown


@dataclass(frozen=True, slots=True)
class FoundProducts:
    """Columns of the products found, each with a row for each product."""

    categories: Sequence[str | None]
    prices: Sequence[int]
    ratings: Sequence[float]
    values: Sequence[str]
    """Their tags, attributes and options: numbers with commas between them."""
    failed: Sequence[int] = ()
    """The number of the filter that a product fails, 0 if it matches all; empty if all products match."""

    def count(self, lineages: Mapping[str, Sequence[str]], own: Mapping[str, int]) -> FacetCounts:
        """Counts all facets. `own` has the number of the filter by a facet, if there is one.

        Facets of attributes and options are `attribute.` or `option.` with the number of their name.
        """
        counts = FacetCounts()
        counts.add_categories(Counter(self._of(self.categories, own.get("category", 0))), lineages)
        counts.add_prices(self._of(self.prices, own.get("price", 0)))
        counts.add_ratings(self._of(self.ratings, own.get("rating", 0)))
        counts.values = _count_values(self._of(self.values, 0))
        for facet, number in own.items():
            counts.values.update(self._count_failing(facet, number))
        return counts

    def _count_failing(self, facet: str, number: int) -> Mapping[int, int]:
        """The values of this facet that products have which fail only its filter."""
        kind, _, name = facet.partition(".")
        if not name and kind != ValueKind.TAG.name.lower():
            return {}
        counts = _count_values(
            [text for text, failed in zip(self.values, self.failed, strict=True) if failed == number]
        )
        if name:
            return {one: count for one, count in counts.items() if one >> (VALUE_BITS + KIND_BITS) == int(name)}
        return {one: count for one, count in counts.items() if one & _KIND_MASK == ValueKind.TAG}

    def _of(self, column: Sequence[Any], number: int) -> Sequence[Any]:
        """The part of the column for products that fail no filter, or only this one."""
        if not self.failed:
            return column
        return [one for one, failed in zip(column, self.failed, strict=True) if failed in (0, number)]


def _count_values(texts: Collection[str]) -> Counter[int]:
    counts = Counter(",".join(texts).split(","))
    counts.pop("", None)
    return Counter({int(value_id): count for value_id, count in counts.items()})
