"""Facets counted in Python, to compare them with what the statements count."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.catalog.domain.facet_counter import MAX_CATEGORY_FACETS
from services.catalog.domain.facet_ids import MAX_VALUES, ValueKind, facet_id
from services.catalog.domain.search import PRICE_STEPS, price_range


class ProductRows:
    """Products as rows, and which of them match each filter."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self.rows = [row for row in rows if row["is_active"]]
        self._matching: dict[str, set[int]] = {}

    def matching(self, filters: dict[str, Any], *without: str) -> list[Any]:
        """The rows that match all filters but some."""
        places = set(range(len(self.rows)))
        for name, value in filters.items():
            if name not in without:
                places &= self._places(name, value)
        return [self.rows[place] for place in places]

    def _places(self, name: str, value: Any) -> set[int]:
        key = f"{name}={value}"
        if key not in self._matching:
            found = {place for place, row in enumerate(self.rows) if _MATCHES[name](row, value)}
            self._matching[key] = found
        return self._matching[key]


def _values(values: Any) -> set[str]:
    return {value.lower() for value in ([values] if isinstance(values, str) else values)}


def _sizes(row: Any) -> set[str]:
    return {options["Size"] for options in row["options"]}


def _most(counts: Counter[str], kind: ValueKind, name: str | None = None) -> list[dict[str, Any]]:
    """The values of the most products. Which of equally frequent ones are left out, their numbers decide."""
    shown = sorted(counts.items(), key=lambda item: (-item[1], facet_id(kind, name or "", item[0])))[: MAX_VALUES[kind]]
    return _items(dict(shown), name)


def _items(counts: Mapping[str, int], name: str | None = None) -> list[dict[str, Any]]:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"value": value, "count": count, "name": name} for value, count in most]


def _has_words(row: Any, q: str) -> bool:
    """Whether the product has all words, the last one as the beginning of a word; or the SKU."""
    *complete, last = q.split()
    details = ["material", *row["attributes"].values(), *map(str.lower, _sizes(row))]
    text = " ".join([row["folded_name"], *row["tags"], *details, row["description"].lower()])
    if not all(word in text for word in (*complete, last)):
        return q.lower() in row["skus"]
    words = set(re.findall(r"\w+", text))
    return q.lower() in row["skus"] or (words.issuperset(complete) and any(word.startswith(last) for word in words))


_MATCHES: dict[str, Callable[[Any, Any], bool]] = {
    "q": _has_words,
    "category": lambda row, slugs: not _values(slugs).isdisjoint(row["lineage"]),
    "min_price": lambda row, low: row["price"] >= low,
    "max_price": lambda row, high: row["price"] <= high,
    "min_rating": lambda row, stars: row["rating_average"] >= stars,
    "in_stock": lambda row, in_stock: row["in_stock"] == in_stock,
    "tag": lambda row, tags: not _values(tags).isdisjoint(row["tags"]),
    "attribute": lambda row, allowed: row["attributes"]["material"] in _values(allowed["material"]),
    "option": lambda row, allowed: not _values(allowed["Size"]).isdisjoint(map(str.lower, _sizes(row))),
}


def count_by_hand(products: ProductRows, filters: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The facets, each counted over the products that match all filters but its own."""
    categories = Counter(slug for row in products.matching(filters, "category") for slug in row["lineage"])
    in_price = products.matching(filters, "min_price", "max_price")
    prices = Counter(max(step for step in PRICE_STEPS if step <= row["price"]) for row in in_price)
    rated = products.matching(filters, "min_rating")
    stars = [int(row["rating_average"]) for row in rated if row["rating_average"] >= 1]
    tags = Counter(tag for row in products.matching(filters, "tag") for tag in row["tags"])
    materials = Counter(row["attributes"]["material"] for row in products.matching(filters, "attribute"))
    sizes = Counter(size for row in products.matching(filters, "option") for size in _sizes(row))
    return {
        "category": _items(categories)[:MAX_CATEGORY_FACETS],
        "price": [
            {"value": price_range(place), "count": prices[step], "name": None}
            for place, step in enumerate(PRICE_STEPS, 1)
            if prices[step]
        ],
        "rating": [
            {"value": str(value), "count": sum(one >= value for one in stars), "name": None}
            for value in sorted(set(stars), reverse=True)
        ],
        "tag": _most(tags, ValueKind.TAG),
        "attribute": _most(materials, ValueKind.ATTRIBUTE, "material"),
        "option": _most(sizes, ValueKind.OPTION, "Size"),
    }
