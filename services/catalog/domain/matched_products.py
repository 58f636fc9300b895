"""The products that match a text, or all, with bitmaps of what they have: counted by any filters without the database.

A place is a product's number by ascending price. A bitmap is an integer in which the bit of each place is set that it
holds: filters are combined by bitwise operations, and counted by `int.bit_count`.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from heapq import nlargest
from itertools import compress, islice, pairwise
from operator import and_, or_
from typing import TypeVar
from uuid import UUID

from contracts.catalog import ListProducts
from services.catalog.domain.facet_counter import FacetCounts
from services.catalog.domain.facet_ids import KIND_BITS, VALUE_BITS, ValueKind, facet_id, value_facet
from services.catalog.domain.search import PRICE_STEPS

_TO_DIGITS, _FROM_DIGITS = bytes.maketrans(b"\0\1", b"01"), bytes.maketrans(b"01", b"\0\1")
_SHARE_OF_A_BITMAP = 1 / 350
"""Of all places: with fewer of them, a look at each is quicker than counting the bits of a bitmap."""

_Key = TypeVar("_Key")
_Count = Callable[["PlaceSet"], int]


@dataclass(slots=True)
class PlaceSet:
    """The places of the products that have a value."""

    places: Sequence[int]
    size: int
    """How many places there are in all."""
    _bitmap: int | None = None

    @property
    def is_frequent(self) -> bool:
        """Whether counting the bits of a bitmap is the quicker way."""
        return len(self.places) > self.size * _SHARE_OF_A_BITMAP

    @property
    def bitmap(self) -> int:
        """The places as a bitmap, which is made when it is first used."""
        if self._bitmap is None:
            self._bitmap = _to_bitmap(self.places, self.size)
        return self._bitmap


@dataclass(slots=True)
class MatchedProducts:
    """The products that match a text, or all if there is none, in columns by their places."""

    ids: bytes
    """16 bytes of each."""
    prices: Sequence[int]
    """Ascending, in minor units."""
    ratings: Sequence[float]
    newest: Sequence[int]
    """All places, the newest product first."""
    exact: Sequence[int]
    """The places of products of which the text is the whole name, or a whole SKU."""
    stars: Mapping[int, PlaceSet]
    """By the whole stars of their average, of those with one star or more."""
    categories: Mapping[str, PlaceSet]
    """By the slugs of a category and those above it, with spaces between them."""
    values: Mapping[int, PlaceSet]
    """By the number of a tag, attribute or option."""
    ranks: dict[int, float] = field(default_factory=dict)
    """How well products match the text, of those that were ranked so far."""

    @property
    def size(self) -> int:
        """How many products match."""
        return len(self.prices)

    def make_bitmaps(self) -> None:
        """Makes the bitmaps of frequent values, which takes 10 milliseconds for 20,000 products."""
        for sets in (self.stars, self.categories, self.values):
            for found in sets.values():
                if found.is_frequent:
                    found.bitmap  # noqa: B018 - it is remembered

    def id_of(self, place: int) -> UUID:
        """The id of the product at a place."""
        return UUID(bytes=self.ids[16 * place : 16 * place + 16])

    def best(self, places: Iterable[int], limit: int) -> list[int]:
        """The first of the places by descending rank, then the newest product first."""
        ids, ranks = self.ids, self.ranks
        return nlargest(limit, places, key=lambda place: (ranks[place], ids[16 * place : 16 * place + 16]))

    def select(self, body: ListProducts) -> "Selection":
        """The matches that pass the filters of the request."""
        filters, everything = self._filters(body), (1 << self.size) - 1
        without = {
            facet: reduce(and_, (other for key, other in filters.items() if key != facet), everything)
            for facet in filters
        }
        return Selection(self, reduce(and_, filters.values(), everything), without)

    def _filters(self, body: ListProducts) -> dict[str, int]:
        """The products that pass each filter, by the key of the facet that is counted without it."""
        filters = {}
        if body.category:
            slugs = set(body.category)
            below = (one for lineage, one in self.categories.items() if not slugs.isdisjoint(lineage.split()))
            filters["category"] = reduce(or_, (one.bitmap for one in below), 0)
        if body.min_price is not None or body.max_price is not None:
            low = 0 if body.min_price is None else bisect_left(self.prices, body.min_price)
            high = self.size if body.max_price is None else bisect_right(self.prices, body.max_price)
            filters["price"] = _range(low, high)
        if (least := body.min_rating) is not None:
            rated = (place for place, rating in enumerate(self.ratings) if rating >= least)
            filters["rating"] = _to_bitmap(rated, self.size)
        if body.tag:
            filters["tag"] = self._with_any(ValueKind.TAG, "", body.tag)
        for kind, named in ((ValueKind.ATTRIBUTE, body.attribute), (ValueKind.OPTION, body.option)):
            for name, values in named.items():
                facet, found = value_facet(kind, name), self._with_any(kind, name, values)
                filters[facet] = filters.get(facet, found) & found
        return filters

    def _with_any(self, kind: ValueKind, name: str, values: Iterable[str]) -> int:
        """The products that have any of the values."""
        found = (self.values.get(facet_id(kind, name, value)) for value in values)
        return reduce(or_, (one.bitmap for one in found if one is not None), 0)


@dataclass(frozen=True, slots=True)
class Selection:
    """The matches that pass the filters of a request, as bitmaps."""

    matches: MatchedProducts
    passed: int
    """Those that pass all filters."""
    without: Mapping[str, int]
    """Those that pass all filters but the one by a facet: by the key of the facet."""

    @property
    def candidates(self) -> int:
        """How many products fail at most one filter."""
        return reduce(or_, self.without.values(), self.passed).bit_count()

    def newest(self, limit: int) -> list[int]:
        """The places of the newest products that pass all filters."""
        newest, flags = self.matches.newest, _to_flags(self.passed, self.matches.size)
        return list(islice(compress(newest, map(flags.__getitem__, newest)), limit))

    def exact(self) -> list[int]:
        """The places of exact matches that pass all filters."""
        return [place for place in self.matches.exact if self.passed >> place & 1]

    def count(self) -> FacetCounts:
        """The facets: each counts the products that pass all filters but its own."""
        own, passed = {facet: self._counter(bitmap) for facet, bitmap in self.without.items()}, self.passed
        count_passed, matches = self._counter(passed), self.matches
        counts = FacetCounts(
            price=_count_prices(matches.prices, self.without.get("price", passed)),
            rating=_count_all(matches.stars, own.get("rating", count_passed)),
        )
        in_categories = _count_all(matches.categories, own.get("category", count_passed))
        counts.add_categories(in_categories, {lineage: lineage.split() for lineage in in_categories})
        if own.keys() <= {"category", "price", "rating"}:
            counts.values = _count_all(matches.values, count_passed)
            return counts
        for value_id, found in matches.values.items():
            if products := own.get(_facet_of(value_id), count_passed)(found):
                counts.values[value_id] = products
        return counts

    def _counter(self, bitmap: int) -> _Count:
        """A function that counts the places of a set that are in the bitmap."""
        flags = _to_flags(bitmap, self.matches.size)

        def count(found: PlaceSet) -> int:
            if found.is_frequent:
                return (found.bitmap & bitmap).bit_count()
            return sum(map(flags.__getitem__, found.places))

        return count


def _count_all(sets: Mapping[_Key, PlaceSet], count: _Count) -> Counter[_Key]:
    """The products of each set, without those that have none."""
    counted = ((key, count(found)) for key, found in sets.items())
    return Counter({key: products for key, products in counted if products})


def _count_prices(prices: Sequence[int], bitmap: int) -> Counter[int]:
    """The products in each price range, by its number."""
    bounds = [*(bisect_left(prices, step) for step in PRICE_STEPS), len(prices)]
    ranges = enumerate(pairwise(bounds), 1)
    counted = ((step, (bitmap & _range(low, high)).bit_count()) for step, (low, high) in ranges)
    return Counter({step: products for step, products in counted if products})


def _facet_of(value_id: int) -> str:
    """The key of the facet that a tag, attribute or option belongs to."""
    kind = ValueKind(value_id & ((1 << KIND_BITS) - 1))
    return "tag" if kind is ValueKind.TAG else f"{kind.name.lower()}.{value_id >> (VALUE_BITS + KIND_BITS)}"


def _range(low: int, high: int) -> int:
    """The bitmap of the places from `low` up to, but not with, `high`."""
    return ((1 << high) - 1) >> low << low


def _to_bitmap(places: Iterable[int], size: int) -> int:
    flags = bytearray(size)
    for place in places:
        flags[place] = 1
    return int(flags.translate(_TO_DIGITS)[::-1] or b"0", 2)


def _to_flags(bitmap: int, size: int) -> bytes:
    """A byte for each place: 1 if it is in the bitmap, else 0."""
    return f"{bitmap:0{size}b}"[::-1].encode().translate(_FROM_DIGITS)
