"""Search with facets: up to 1,000 matches in one statement, for which one plan is enough. More are counted apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.search import PRICE_STEPS, price_range
from services.catalog.store.product_documents import LIVE_COLUMNS
from services.catalog.store.product_filters import SORT_ORDERS, SUBTREE, Statement
from services.catalog.store.product_queries import EVERYTHING_RANKED, LIST_COLUMNS, MAX_RANKED_PRODUCTS

MAX_CATEGORY_FACETS = 200
MAX_TAG_FACETS = 20
_PRICE_STEPS = f"ARRAY{list(PRICE_STEPS)}::bigint[]"
_PRICE_RANGES = f"ARRAY{[price_range(step) for step in range(1, len(PRICE_STEPS) + 1)]}"
_FACETS = f"""'{{"category":[' || coalesce((
    SELECT string_agg(format('{{"value":"%s","count":%s}}', slug, products), ',' ORDER BY products DESC, slug) FROM (
        SELECT c.slug, f.products FROM (
            SELECT f.category_id, count(*) AS products FROM found f GROUP BY f.category_id
        ) f JOIN category c ON c.id = f.category_id ORDER BY f.products DESC, c.slug LIMIT {MAX_CATEGORY_FACETS}
    ) counted
), '') || '],"price":[' || coalesce((
    SELECT string_agg(format('{{"value":"%s","count":%s}}', ({_PRICE_RANGES})[step], products), ',' ORDER BY step)
    FROM (
        SELECT width_bucket(f.price, {_PRICE_STEPS}) AS step, count(*) AS products FROM found f GROUP BY 1
    ) counted
), '') || '],"rating":[' || coalesce((
    SELECT string_agg(format('{{"value":"%s","count":%s}}', stars, products), ',' ORDER BY stars DESC) FROM (
        SELECT stars, sum(products) OVER (ORDER BY stars DESC) AS products FROM (
            SELECT floor(f.rating_average) AS stars, count(*) AS products FROM found f WHERE f.rating_average >= 1
            GROUP BY 1
        ) rated
    ) counted
), '') || '],"tag":[' || coalesce((
    SELECT string_agg(format('{{"value":%s,"count":%s}}', to_json(tag), products), ',' ORDER BY products DESC, tag)
    FROM (
        SELECT min(t.tag) AS tag, count(*) AS products FROM found f, unnest(f.tags, f.tag_keys) AS t (tag, tag_key)
        WHERE t.tag_key IS DISTINCT FROM '' GROUP BY coalesce(t.tag_key, t.tag)
        ORDER BY products DESC, tag LIMIT {MAX_TAG_FACETS}
    ) counted
), '') || ']}}'"""  # noqa: S608 - constants
"""The facets of the products `found` as JSON: price ranges in ascending order, ratings in descending order, other
values by descending count. A rating counts the products with that average or more, as the filter `min_rating` does.

A product counts once for a tag that it has in several cases. One that is not indexed yet has no key for its tags.
"""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The rows of a page, one more if it goes on, and the facets of all matches as JSON."""

    rows: Sequence[Any]
    facets: str


async def search(
    connection: Connection,
    body: ListProducts,
    sort: ProductSort,
    after: Sequence[Any] | None,
    *,
    with_facets: bool = True,
) -> SearchResult | None:
    """The page after a sort key with its facets; None if more than 1,000 products match."""
    statement, order = Statement.of(body), SORT_ORDERS[sort]
    extra, rank, keys = "", "", "".join(f"p.{column}, " for column in order.key_columns if column != "id")
    if body.q:
        query = statement.match(body.q, is_planned_anew=False)
        if sort is ProductSort.RELEVANCE:
            extra, rank = ", p.terms", f", {query.rank} AS rank, '{EVERYTHING_RANKED}'::uuid AS oldest"
            keys = f"{keys}p.oldest, "
    _filter(statement, body)
    matches = statement.condition
    facets = _FACETS if with_facets else "''"
    condition = "true" if after is None else statement.after(sort, after)
    rows = await connection.fetch(
        f"""
        WITH found AS MATERIALIZED (
            SELECT {LIST_COLUMNS}, p.tags, p.tag_keys{extra} FROM product p WHERE {matches}
            LIMIT {MAX_RANKED_PRODUCTS + 1}
        )
        SELECT CASE WHEN p.place > 1 THEN '' ELSE {facets} END AS facets, {keys}{LIVE_COLUMNS}
        FROM (SELECT count(*) AS products FROM found) f LEFT JOIN (
            SELECT p.*, row_number() OVER () AS place FROM (
                SELECT p.* FROM (SELECT p.*{rank} FROM found p) p
                WHERE {condition} ORDER BY {order.order_by} LIMIT {body.limit + 1}
            ) p
        ) p ON true LEFT JOIN category c ON c.id = p.category_id
        WHERE f.products <= {MAX_RANKED_PRODUCTS} ORDER BY p.place
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    if not rows:
        return None
    return SearchResult([row for row in rows if row["id"] is not None], rows[0]["facets"])


async def count_facets(connection: Connection, body: ListProducts) -> str:
    """The facets of all matches, however many."""
    statement = Statement.of(body)
    if body.q:
        statement.match(body.q, is_planned_anew=True)
    _filter(statement, body)
    facets: str = await connection.fetchval(
        f"""
        WITH found AS MATERIALIZED (
            SELECT p.category_id, p.price, p.rating_average, p.tags, p.tag_keys
            FROM product p WHERE {statement.condition}
        )
        SELECT {_FACETS}
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    return facets


def _filter(statement: Statement, body: ListProducts) -> None:
    """Adds every requested filter but the text."""
    statement.filter(body)
    if body.category is not None:
        subtree = SUBTREE.format(statement.bind(body.category, "text"))
        statement.conditions.append(f"p.category_id = ANY (ARRAY({subtree}))")
