"""Search with facets: up to 1,000 products in one statement, for which one plan is enough. More are counted apart.

A facet counts the products that match all filters but its own. So the statement finds those too that fail one filter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.search import SearchVocabulary
from services.catalog.store.facet_counts import COLUMNS, FACETS, IS_TAG, NAME_OF_ID, VALUES, CountedFacet, facet_sql
from services.catalog.store.product_documents import LIVE_COLUMNS
from services.catalog.store.product_filters import SORT_ORDERS, Statement
from services.catalog.store.product_queries import EVERYTHING_RANKED, LIST_COLUMNS, MAX_RANKED_PRODUCTS


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The rows of a page, one more if it goes on, and the facets as the members of a JSON object."""

    rows: Sequence[Any]
    facets: str
    matches: int
    """How many products match all filters."""
    synonyms_version: int
    """Of the current synonyms. The result is wrong if it is not the version that it was searched with."""


async def search(
    connection: Connection,
    body: ListProducts,
    sort: ProductSort,
    after: Sequence[Any] | None,
    vocabulary: SearchVocabulary | None = None,
    *,
    with_facets: bool = True,
) -> SearchResult | None:
    """The page after a sort key with its facets; None if more than 1,000 products match all filters but one."""
    statement, order = Statement.of(body), SORT_ORDERS[sort]
    extra, rank, keys = "", "", "".join(f"p.{column}, " for column in order.key_columns if column != "id")
    if body.q:
        query = statement.match(body.q, is_planned_anew=False, vocabulary=vocabulary)
        if sort is ProductSort.RELEVANCE:
            extra, rank = ", p.terms", f", {query.rank} AS rank, '{EVERYTHING_RANKED}'::uuid AS oldest"
            keys = f"{keys}p.oldest, "
    chosen = _filter(statement, body)
    filters = statement.facet_filters if with_facets else {}
    if with_facets:
        extra = f"{extra}, p.facet_ids{_failed_filter(filters)}"
    facets = " || ',' || ".join(_count(facet, filters) for facet in FACETS) if with_facets else "''"
    matching = "p.failed = 0" if filters else "true"
    condition = "true" if after is None else statement.after(sort, after)
    rows = await connection.fetch(
        f"""
        WITH {chosen}found AS MATERIALIZED (
            SELECT {LIST_COLUMNS}{extra} FROM product p WHERE {_candidates(statement, filters)}
            LIMIT {MAX_RANKED_PRODUCTS + 1}
        )
        SELECT CASE WHEN p.place > 1 THEN '' ELSE {facets} END AS facets, f.matches,
               (SELECT version FROM synonyms WHERE only_row) AS synonyms_version, {keys}{LIVE_COLUMNS}
        FROM (SELECT count(*) AS products, count(*) FILTER (WHERE {matching}) AS matches FROM found p) f LEFT JOIN (
            SELECT p.*, row_number() OVER () AS place FROM (
                SELECT p.* FROM (SELECT p.*{rank} FROM found p WHERE {matching}) p
                WHERE {condition} ORDER BY {order.order_by} LIMIT {body.limit + 1}
            ) p
        ) p ON true LEFT JOIN category c ON c.id = p.category_id
        WHERE f.products <= {MAX_RANKED_PRODUCTS} ORDER BY p.place
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    if not rows:
        return None
    first = rows[0]
    page = [row for row in rows if row["id"] is not None]
    return SearchResult(page, first["facets"], first["matches"], first["synonyms_version"])


def _candidates(statement: Statement, filters: dict[str, str]) -> str:
    """The condition of products that fail at most one of the filters.

    Of two filters such a product matches one, which indexes find; the sum is exact for more than two.
    """
    if not filters:
        return statement.condition
    conditions = list(filters.values())
    pairs = [f"({one} OR {other})" for one, other in zip(conditions[::2], conditions[1::2], strict=False)]
    total = " + ".join(f"(({one}) IS NOT TRUE)::int" for one in conditions)
    exact = [f"{total} <= 1"] if len(conditions) > 2 else []  # noqa: PLR2004 - one pair says it all
    return " AND ".join([*statement.conditions, *pairs, *exact])


def _failed_filter(filters: dict[str, str]) -> str:
    """The column with the number of the filter that a product fails, from 1; 0 if it matches all."""
    if not filters:
        return ""
    cases = " ".join(f"WHEN ({one}) IS NOT TRUE THEN {number}" for number, one in enumerate(filters.values(), 1))
    return f", CASE {cases} ELSE 0 END AS failed"


def _count(facet: str, filters: dict[str, str]) -> str:
    """The SQL of a facet: counted over what matches, and what fails nothing but the filter by this facet."""
    if not filters:
        return facet_sql(facet, "true")
    numbers = {name: number for number, name in enumerate(filters, 1)}
    if facet == VALUES:
        conditions = {name: f"{NAME_OF_ID} = {name.partition('.')[2]}" for name in numbers if "." in name}
        if "tag" in numbers:
            conditions["tag"] = IS_TAG
        own = [f"(f.failed = {numbers[name]} AND {condition})" for name, condition in conditions.items()]
        return facet_sql(facet, " OR ".join(["f.failed = 0", *own]))
    return facet_sql(facet, f"f.failed IN (0, {numbers[facet]})" if facet in numbers else "f.failed = 0")


async def count_facets(
    connection: Connection,
    body: ListProducts,
    facets: Sequence[CountedFacet],
    vocabulary: SearchVocabulary | None = None,
) -> dict[str, str]:
    """The JSON members of each facet over all products that match, however many, by the facet's key."""
    statement = Statement.of(body)
    if body.q:
        statement.match(body.q, is_planned_anew=True, vocabulary=vocabulary)
    chosen = _filter(statement, body)
    columns = ", ".join({COLUMNS[counted.facet]: None for counted in facets})
    row = await connection.fetchrow(
        f"""
        WITH {chosen}found AS MATERIALIZED (SELECT {columns} FROM product p WHERE {statement.condition})
        SELECT {", ".join(counted.sql for counted in facets)}
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    assert row is not None, "the statement has no FROM"
    return {counted.key: members for counted, members in zip(facets, row, strict=True)}


def _filter(statement: Statement, body: ListProducts) -> str:
    """Adds every requested filter but the text. Returns the common table that the one by category refers to."""
    statement.filter(body)
    slugs = body.category
    if not slugs:
        return ""
    statement.facet_filters["category"] = "p.category_id = ANY ((SELECT ids FROM chosen)::uuid[])"
    return f"chosen AS MATERIALIZED (SELECT ARRAY({statement.subtree(slugs)}) AS ids), "
