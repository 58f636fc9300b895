"""The SQL that counts facets. Each facet counts the products that match all filters but its own.

The products are rows `f` of `found`. Each facet has a condition on them: which filters they fail is theirs to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from contracts.catalog import ListProducts
from services.catalog.domain.facets import (
    KIND_BITS,
    MAX_VALUES,
    VALUE_BITS,
    ValueKind,
    facet_id,
    facet_name_id,
)
from services.catalog.domain.search import PRICE_STEPS, price_range

MAX_CATEGORY_FACETS = 200
VALUES = "values"
"""The facets `tag`, `attribute` and `option`, which are counted together."""
NAME_OF_ID = f"value_id >> {VALUE_BITS + KIND_BITS}"
_KIND = f"(value_id & {(1 << KIND_BITS) - 1})"
IS_TAG = f"{_KIND} = {ValueKind.TAG}"
_PRICE_STEPS = f"ARRAY{list(PRICE_STEPS)}::bigint[]"
_PRICE_RANGES = f"ARRAY{[price_range(step) for step in range(1, len(PRICE_STEPS) + 1)]}"
_ITEM = """format('{{"value":"%s","count":%s,"name":null}}', {0}, products)"""
_LIST = "'\"{0}\":[' || coalesce(string_agg({1}, ',' ORDER BY {2}), '') || ']'"
_VALUE_LISTS = " || ',' || ".join(
    f"""'"{kind.name.lower()}":[' || coalesce(
        string_agg(item, ',' ORDER BY products DESC, name, value) FILTER (WHERE kind = {kind}), ''
    ) || ']'"""
    for kind in ValueKind
)

_SQL: Mapping[str, str] = {
    "category": f"""(
    SELECT {_LIST.format("category", _ITEM.format("slug"), "products DESC, slug")} FROM (
        SELECT above.slug, sum(f.products) AS products FROM (
            SELECT f.category_id, count(*) AS products FROM found f WHERE {{0}} GROUP BY f.category_id
        ) f JOIN category c ON c.id = f.category_id CROSS JOIN unnest(c.lineage) AS above (slug)
        GROUP BY above.slug ORDER BY products DESC, above.slug LIMIT {MAX_CATEGORY_FACETS}
    ) counted
)""",  # noqa: S608 - constants
    "price": f"""(
    SELECT {_LIST.format("price", _ITEM.format(f"({_PRICE_RANGES})[step]"), "step")} FROM (
        SELECT width_bucket(f.price, {_PRICE_STEPS}) AS step, count(*) AS products FROM found f WHERE {{0}} GROUP BY 1
    ) counted
)""",  # noqa: S608 - constants
    "rating": f"""(
    SELECT {_LIST.format("rating", _ITEM.format("stars"), "stars DESC")} FROM (
        SELECT stars, sum(products) OVER (ORDER BY stars DESC) AS products FROM (
            SELECT floor(f.rating_average) AS stars, count(*) AS products FROM found f
            WHERE ({{0}}) AND f.rating_average >= 1 GROUP BY 1
        ) rated
    ) counted
)""",  # noqa: S608 - constants
    VALUES: f"""(
    SELECT {_VALUE_LISTS} FROM (
        SELECT format('{{"value":%s,"count":%s,"name":%s}}', to_json(v.value), products,
                      CASE v.name WHEN '' THEN 'null' ELSE to_json(v.name)::text END) AS item,
               products, v.name, v.value, kind
        FROM (
            SELECT value_id, products, {_KIND} AS kind,
                   row_number() OVER (PARTITION BY {_KIND} ORDER BY products DESC, value_id) AS place
            FROM (
                SELECT value_id, count(*) AS products FROM found f, unnest(f.facet_ids) AS value_id WHERE {{0}}
                GROUP BY value_id
            ) counted
        ) ranked CROSS JOIN LATERAL (
            SELECT v.name, v.value FROM facet_value v WHERE v.id = value_id ORDER BY v.name, v.value LIMIT 1
        ) v WHERE place <= (ARRAY{list(MAX_VALUES.values())})[kind + 1]
    ) counted
)""",  # noqa: S608 - constants
}
"""The JSON member of each facet, or members: price ranges in ascending order, ratings in descending order, other values
by descending count. A rating counts the products with that average or more, as the filter `min_rating` does, and a
category those below it too. A product that is not indexed yet has no tags, attributes and options here.
"""
FACETS = tuple(_SQL)
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
        """An expression for the JSON members."""
        return facet_sql(self.facet, self.condition)


def facet_sql(facet: str, condition: str) -> str:
    """An expression for the JSON members of a facet, counted over the products `f` with this condition.

    A condition on `value_id` is one on the attribute or option that is counted.
    """
    return _SQL[facet].replace("{0}", condition)


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
        plan[body.model_copy(update={"tag": ()})] = [CountedFacet("tag", VALUES, IS_TAG)]
        filtered.append(IS_TAG)
    for kind, field, filters in (
        (ValueKind.ATTRIBUTE, "attribute", body.attribute),
        (ValueKind.OPTION, "option", body.option),
    ):
        for name in filters:
            name_id = facet_name_id(kind, name)
            without = {other: values for other, values in filters.items() if facet_name_id(kind, other) != name_id}
            condition = f"{NAME_OF_ID} = {name_id}"
            plan[body.model_copy(update={field: without})] = [CountedFacet(f"{field}.{name_id}", VALUES, condition)]
            filtered.append(condition)
    others = f"NOT ({' OR '.join(filtered)})" if filtered else "true"
    plan[body].append(CountedFacet(VALUES, VALUES, others))
    return plan


def join_counts(members: Mapping[str, str]) -> str:
    """The facets as members of a JSON object, from the members of each counted facet by its key."""
    standard = [members[facet] for facet in FACETS]
    by_name = [text for key, text in members.items() if key not in _SQL]
    if by_name:
        standard[-1] = _merge_values([standard[-1], *by_name])
    return ",".join(standard)


def _merge_values(members: list[str]) -> str:
    """The values of several counts, which count different ones, cut and sorted as those of one count are."""
    counts = [orjson.loads(f"{{{text}}}") for text in members]
    merged = {}
    for kind, limit in MAX_VALUES.items():
        ids = {
            facet_id(kind, item["name"] or "", item["value"]): item
            for count in counts
            for item in count[kind.name.lower()]
        }
        shown = sorted(ids, key=lambda one: (-ids[one]["count"], one))[:limit]
        items = sorted(
            (ids[one] for one in shown), key=lambda item: (-item["count"], item["name"] or "", item["value"])
        )
        merged[kind.name.lower()] = items
    return orjson.dumps(merged)[1:-1].decode()
