"""Search with facets: up to 1,000 products in one statement, for which one plan is enough. More are counted apart.

A facet counts the products that match all filters but its own. So the statement finds those too that fail one filter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.catalog import ListProducts, ProductSort, ProductStatus
from infra.database.postgres import Connection
from services.catalog.domain.facet_counter import FacetCounts, FoundProducts
from services.catalog.domain.search import SearchVocabulary
from services.catalog.store.facet_counts import COLUMNS, Counted, CountedFacet
from services.catalog.store.product_documents import LIVE_COLUMNS, LIVE_COLUMNS_OF_ACTIVE
from services.catalog.store.product_filters import SORT_ORDERS, Statement
from services.catalog.store.product_queries import EVERYTHING_RANKED, LIST_COLUMNS, MAX_RANKED_PRODUCTS

_ALL_PRODUCTS = """, array_agg(p.category_id) AS category_ids, array_agg(p.price) AS all_prices,
            array_agg(p.rating_average) AS all_ratings,
            string_agg(array_to_string(p.facet_ids, ','), ' ') AS all_values"""
"""What facets are counted from: a value of each product that is found."""
_FACET_COLUMNS = """CASE WHEN p.place > 1 THEN NULL ELSE f.category_ids::text[] END AS all_categories,
               CASE WHEN p.place > 1 THEN NULL ELSE f.all_prices END AS all_prices,
               CASE WHEN p.place > 1 THEN NULL ELSE f.all_ratings END AS all_ratings,
               CASE WHEN p.place > 1 THEN NULL ELSE f.all_values END AS all_values,
               CASE WHEN p.place > 1 THEN NULL ELSE f.all_failed END AS all_failed,
               CASE WHEN p.place > 1 THEN NULL ELSE ARRAY(
                   SELECT c.id || ' ' || array_to_string(c.lineage, ' ') FROM category c
                   WHERE c.id = ANY (f.category_ids)
               ) END AS lineages, """
"""The same, once: in the first row of the page, or the only one if it is empty."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The rows of a page, one more if it goes on, and the counts of the facets, if they are wanted."""

    rows: Sequence[Any]
    facets: FacetCounts
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
    _filter(statement, body)
    filters = statement.facet_filters if with_facets else {}
    if with_facets:
        extra = f"{extra}, p.facet_ids{_failed_filter(filters)}"
    counted, columns = (_counted_columns(filters), _FACET_COLUMNS) if with_facets else ("", "")
    live = LIVE_COLUMNS if body.status is ProductStatus.INACTIVE else LIVE_COLUMNS_OF_ACTIVE
    matching = "p.failed = 0" if filters else "true"
    condition = "true" if after is None else statement.after(sort, after)
    found = f"SELECT {LIST_COLUMNS}{extra} FROM product p WHERE {_candidates(statement, filters)}"  # noqa: S608 - constants
    limit = f"LIMIT {MAX_RANKED_PRODUCTS + 1}"
    rows = await connection.fetch(
        f"""
        {statement.with_tables(f"{found} {limit}")}
        SELECT {columns}f.matches,
               (SELECT version FROM synonyms WHERE only_row) AS synonyms_version, {keys}{live}
        FROM (
            SELECT count(*) AS products, count(*) FILTER (WHERE {matching}) AS matches{counted} FROM found p
        ) f LEFT JOIN (
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
    facets = _count(first, list(filters)) if with_facets else FacetCounts()
    return SearchResult(page, facets, first["matches"], first["synonyms_version"])


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


def _counted_columns(filters: dict[str, str]) -> str:
    """The columns of the products that facets are counted from, each as one value."""
    failed = ", array_agg(p.failed) AS all_failed" if filters else ", NULL::integer[] AS all_failed"
    return f"{_ALL_PRODUCTS}{failed}"


def _count(row: Any, filters: Sequence[str]) -> FacetCounts:
    """The facets: counted over what matches, and what fails nothing but the filter by the facet."""
    if row["all_prices"] is None:
        return FacetCounts()
    found = FoundProducts(
        categories=row["all_categories"],
        prices=row["all_prices"],
        ratings=row["all_ratings"],
        values=row["all_values"].split(" "),
        failed=row["all_failed"] or (),
    )
    lineages = {category_id: slugs for category_id, *slugs in map(str.split, row["lineages"])}
    return found.count(lineages, {facet: number for number, facet in enumerate(filters, 1)})


async def count_facets(
    connection: Connection,
    body: ListProducts,
    facets: Sequence[CountedFacet],
    vocabulary: SearchVocabulary | None = None,
) -> Mapping[str, Counted]:
    """How many of all products that match, however many, have each value: by the keys of the facets."""
    statement = Statement.of(body)
    if body.q:
        statement.match(body.q, is_planned_anew=True, vocabulary=vocabulary)
    _filter(statement, body)
    columns = ", ".join({COLUMNS[counted.facet]: None for counted in facets})
    found = f"SELECT {columns} FROM product p WHERE {statement.condition}"  # noqa: S608 - constants
    counts = " UNION ALL ".join(counted.sql for counted in facets)
    rows = await connection.fetch(f"{statement.with_tables(found)} {counts}", *statement.parameters)
    members: dict[str, dict[str, int]] = {counted.key: {} for counted in facets}
    for key, value, products in rows:
        members[key][value] = products
    return members


def _filter(statement: Statement, body: ListProducts) -> None:
    """Adds every requested filter but the text, with the common table that the one by category refers to."""
    statement.filter(body)
    if slugs := body.category:
        statement.tables.append(f"chosen AS MATERIALIZED (SELECT ARRAY({statement.subtree(slugs)}) AS ids)")
        statement.facet_filters["category"] = "p.category_id = ANY ((SELECT ids FROM chosen)::uuid[])"
