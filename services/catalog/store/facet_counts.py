"""The SQL that counts facets of large results. Each facet counts the products that match all filters but its own.

The products are rows `f` of `found`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.catalog import ListProducts
from services.catalog.domain.facet_counter import VALUES, FacetCounts
from services.catalog.domain.facet_ids import KIND_BITS, MAX_VALUES, VALUE_BITS, ValueKind, facet_name_id
from services.catalog.domain.search import PRICE_STEPS

Counted = Mapping[str, int]
"""The products of each value of a facet. Values are texts, as the statements return them."""

_KIND = f"(value_id & {(1 << KIND_BITS) - 1})"
_NAME = f"value_id >> {VALUE_BITS + KIND_BITS}"
_IS_TAG = f"{_KIND} = {ValueKind.TAG}"
_SQL: Mapping[str, str] = {
    "category": """
    SELECT '{0}', array_to_string(c.lineage, ' '), f.products
    FROM (SELECT f.category_id, count(*) AS products FROM found f GROUP BY f.category_id) f
    JOIN category c ON c.id = f.category_id
""",
    "price": f"""
    SELECT '{{0}}', step::text, products FROM (
        SELECT width_bucket(f.price, ARRAY{list(PRICE_STEPS)}::bigint[]) AS step, count(*) AS products
        FROM found f GROUP BY 1
    ) counted
""",  # noqa: S608 - constants
    "rating": """
    SELECT '{0}', stars::text, products FROM (
        SELECT floor(f.rating_average) AS stars, count(*) AS products
        FROM found f WHERE f.rating_average >= 1 GROUP BY 1
    ) counted
""",
    VALUES: f"""
    SELECT '{{0}}', value_id::text, products FROM (
        SELECT value_id, products, {_KIND} AS kind,
               row_number() OVER (PARTITION BY {_KIND} ORDER BY products DESC, value_id) AS place
        FROM (
            SELECT value_id, count(*) AS products FROM (SELECT unnest(f.facet_ids) AS value_id FROM found f) f
            WHERE {{1}} GROUP BY value_id
        ) counted
    ) ranked WHERE place <= (ARRAY{list(MAX_VALUES.values())})[kind + 1]
""",  # noqa: S608 - constants
}
"""The rows of each facet: its key, a value, and how many products have it. The value of a category is its lineage."""
COLUMNS: Mapping[str, str] = {
    "category": "p.category_id",
    "price": "p.price",
    "rating": "p.rating_average",
    VALUES: "p.facet_ids",
}
"""The columns of `found` that a facet reads."""


@dataclass(frozen=True, slots=True)
class CountedFacet:
    """A facet to count over the matches of a request: all of it, or the attributes and options with a condition."""

    key: str
    facet: str
    condition: str = "true"

    @property
    def sql(self) -> str:
        """A query for its rows."""
        return _SQL[self.facet].format(self.key, self.condition)


def plan_counts(body: ListProducts) -> dict[ListProducts, list[CountedFacet]]:
    """The facets of a request by the requests over whose matches they are counted: those without their own filter."""
    own_filters: dict[str, dict[str, Any]] = {
        "category": {"category": ()} if body.category else {},
        "price": {"min_price": None, "max_price": None} if (body.min_price, body.max_price) != (None, None) else {},
        "rating": {"min_rating": None} if body.min_rating is not None else {},
    }
    plan = {body: [CountedFacet(facet, facet) for facet, own in own_filters.items() if not own]}
    for facet, own in own_filters.items():
        if own:
            plan[body.model_copy(update=own)] = [CountedFacet(facet, facet)]
    filtered = []
    if body.tag:
        plan[body.model_copy(update={"tag": ()})] = [CountedFacet("tag", VALUES, _IS_TAG)]
        filtered.append(_IS_TAG)
    for kind, field, filters in (
        (ValueKind.ATTRIBUTE, "attribute", body.attribute),
        (ValueKind.OPTION, "option", body.option),
    ):
        for name in filters:
            name_id = facet_name_id(kind, name)
            without = {other: values for other, values in filters.items() if facet_name_id(kind, other) != name_id}
            condition = f"{_NAME} = {name_id}"
            plan[body.model_copy(update={field: without})] = [CountedFacet(f"{field}.{name_id}", VALUES, condition)]
            filtered.append(condition)
    others = f"NOT ({' OR '.join(filtered)})" if filtered else "true"
    plan[body].append(CountedFacet(VALUES, VALUES, others))
    return plan


def join_counts(counted: Mapping[str, Counted]) -> FacetCounts:
    """The counts of all facets, from those of each counted facet by its key."""
    counts = FacetCounts()
    for key, products in counted.items():
        if key == "category":
            counts.add_categories(products, {lineage: lineage.split() for lineage in products})
            continue
        by_number = Counter({int(value): count for value, count in products.items()})
        if key == "price":
            counts.price = by_number
        elif key == "rating":
            counts.rating = by_number
        else:
            counts.values |= by_number
    return counts
