"""The statements of product lists and search: pages by any filter and sort, facets, and suggested names.

A statement is composed from the constants below for each request, so that PostgreSQL plans each combination of filters
and sort on its own. A page starts after the sort key of the last product of the page before, so that new products
neither shift nor repeat others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contracts.catalog import FacetCount, ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.search import PRICE_STEPS, parse_terms, prefix_query, price_range
from services.catalog.domain.text_folding import fold, name_key, tag_key
from services.catalog.store.product_documents import LIVE_COLUMNS

MAX_COUNTED_PRODUCTS = 10_000
MAX_CATEGORY_FACETS = 200
MAX_TAG_FACETS = 20
MAX_SUGGESTION_CANDIDATES = 500
MAX_EXACT_MATCHES = 100

_QUERY = """({0}::tsquery || CASE numnode(websearch_to_tsquery('english', {1}))
    WHEN 0 THEN websearch_to_tsquery('simple', {1}) ELSE websearch_to_tsquery('english', {1}) END)"""
"""The exact terms, or the text; in the words as they are if English has only stop words for it."""
_ALL_WORDS = """CASE WHEN numnode(to_tsquery('english', {2})) < numnode(to_tsquery('simple', {2}))
    THEN to_tsquery('simple', {2}) ELSE ''::tsquery END"""
"""Stop words too, if there are any: they cost time, because many names have them."""
_QUERY_OF_WORDS = f"""({{0}}::tsquery || websearch_to_tsquery('english', {{1}}) || {_ALL_WORDS}
    || (websearch_to_tsquery('english', {{3}}) && to_tsquery('english', {{4}})))"""
_QUERY_OF_ONE_WORD = f"""({{0}}::tsquery || websearch_to_tsquery('english', {{1}}) || {_ALL_WORDS}
    || to_tsquery('english', {{2}}))"""
_RANK = f"""(ts_rank(p.terms, {{0}}) + CASE WHEN p.id = ANY (ARRAY(
    SELECT e.id FROM product e WHERE e.terms @@ {{1}}::tsquery ORDER BY e.id DESC LIMIT {MAX_EXACT_MATCHES}
)) THEN 2 ELSE 0 END)::real"""  # noqa: S608 - constants
"""Exact matches come first: the rank of others is less than 1. They are found once, not compared with each product."""
_CATEGORY = """p.category_id IN (
    WITH RECURSIVE below AS (
        SELECT id FROM category WHERE slug = {0} UNION SELECT c.id FROM category c JOIN below b ON c.parent_id = b.id
    ) SELECT id FROM below
)"""
_IN_STOCK = "{0} = EXISTS (SELECT FROM stock s WHERE s.product_id = p.id AND s.on_hand > s.reserved)"


@dataclass(frozen=True, slots=True)
class SortOrder:
    """The ORDER BY of a sort, its condition after a sort key, the columns of a cursor, and the key's SQL types."""

    order_by: str
    after_condition: str
    key_columns: tuple[str, ...]
    key_types: tuple[str, ...]


SORT_ORDERS = {
    ProductSort.NEWEST: SortOrder("p.id DESC", "p.id < {0}", ("id",), ("uuid",)),
    ProductSort.PRICE: SortOrder("p.price, p.id", "(p.price, p.id) > ({0}, {1})", ("price", "id"), ("bigint", "uuid")),
    ProductSort.PRICE_DESCENDING: SortOrder(
        "p.price DESC, p.id DESC", "(p.price, p.id) < ({0}, {1})", ("price", "id"), ("bigint", "uuid")
    ),
    ProductSort.NAME: SortOrder(
        "p.name_key, p.id", "(p.name_key, p.id) > ({0}, {1})", ("name", "id"), ("bytea", "uuid")
    ),
    ProductSort.RATING: SortOrder(
        "p.rating_average DESC, p.id DESC",
        "(p.rating_average, p.id) < ({0}, {1})",
        ("rating_average", "id"),
        ("float8", "uuid"),
    ),
    ProductSort.RELEVANCE: SortOrder(
        "p.rank DESC, p.id DESC", "(p.rank, p.id) < ({0}, {1})", ("rank", "id"), ("float4", "uuid")
    ),
}


@dataclass(slots=True)
class _Statement:
    """Conditions, and the parameters that they refer to."""

    conditions: list[str] = field(default_factory=lambda: ["p.is_active"])
    parameters: list[Any] = field(default_factory=list)

    def bind(self, value: Any, sql_type: str) -> str:
        """Adds a parameter and returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{sql_type}"

    def where(self, template: str, *values: tuple[Any, str]) -> None:
        """Adds a condition; each value comes with its SQL type."""
        self.conditions.append(template.format(*(self.bind(value, sql_type) for value, sql_type in values)))

    @property
    def condition(self) -> str:
        """All conditions, joined by AND."""
        return " AND ".join(self.conditions)


async def list_page(
    connection: Connection, body: ListProducts, sort: ProductSort, after: Sequence[Any] | None
) -> list[Any]:
    """The rows of a page after a sort key, and one more if the list goes on.

    A cursor holds a product's name instead of its key, so `after` may be the name. The key is made from it.
    """
    statement = _Statement()
    rank = _filter(statement, body)
    order = SORT_ORDERS[sort]
    ranked = f", {rank} AS rank" if sort is ProductSort.RELEVANCE else ""
    source = f"(SELECT p.*{ranked} FROM product p WHERE {statement.condition}) p" if ranked else "product p"  # noqa: S608 - constants
    conditions = [] if ranked else [statement.condition]
    if after is not None:
        if sort is ProductSort.NAME:
            after = (name_key(after[0]), after[1])
        conditions.append(order.after_condition.format(*map(statement.bind, after, order.key_types)))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = statement.bind(body.limit + 1, "int")
    extra = ", p.rank" if ranked else ""
    keys = "".join(f"p.{column}, " for column in order.key_columns if column != "id")
    return await connection.fetch(
        f"""
        SELECT {keys}{LIVE_COLUMNS}
        FROM (
            SELECT p.id, p.price, p.name, p.name_key, p.rating_average, p.category_id, p.version{extra}
            FROM {source} {where} ORDER BY {order.order_by} LIMIT {limit}
        ) p
        LEFT JOIN category c ON c.id = p.category_id
        ORDER BY {order.order_by}
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )


async def find_name(connection: Connection, product_id: UUID) -> str:
    """The name of a product; empty if there is no such product."""
    return await connection.fetchval("SELECT name FROM product WHERE id = $1", product_id) or ""


def page_key(row: Any, sort: ProductSort) -> tuple[Any, ...]:
    """The sort key of a row, which the next page starts after if the row is the last of its page."""
    return tuple(row[column] for column in SORT_ORDERS[sort].key_columns)


async def count_facets(connection: Connection, body: ListProducts) -> dict[str, list[FacetCount]]:
    """How many matching products each category, price range and tag has, counted over the first 10,000 of them."""
    statement = _Statement()
    _filter(statement, body)
    steps = statement.bind(list(PRICE_STEPS), "bigint[]")
    rows = await connection.fetch(
        f"""
        WITH found AS MATERIALIZED (
            SELECT p.category_id, p.price, p.tags, p.tag_keys FROM product p
            WHERE {statement.condition} LIMIT {MAX_COUNTED_PRODUCTS}
        )
        (SELECT 'category' AS facet, c.slug AS value, count(*) AS count
         FROM found f JOIN category c ON c.id = f.category_id
         GROUP BY c.slug ORDER BY 3 DESC, 2 LIMIT {MAX_CATEGORY_FACETS})
        UNION ALL
        SELECT 'price', width_bucket(f.price, {steps})::text, count(*) FROM found f GROUP BY 2
        UNION ALL
        (SELECT 'tag', min(t.tag), count(*) FROM found f, unnest(f.tags, f.tag_keys) AS t (tag, tag_key)
         WHERE t.tag_key IS DISTINCT FROM '' GROUP BY coalesce(t.tag_key, t.tag)
         ORDER BY 3 DESC, 2 LIMIT {MAX_TAG_FACETS})
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    found: dict[str, list[FacetCount]] = {"category": [], "price": [], "tag": []}
    for row in sorted(rows, key=_facet_order):
        value = price_range(int(row["value"])) if row["facet"] == "price" else row["value"]
        found[row["facet"]].append(FacetCount(value=value, count=row["count"]))
    return found


async def suggest_names(connection: Connection, q: str, limit: int) -> list[str]:
    """Names that have the words of `q`, the last as a prefix; names that begin with `q` come first."""
    query = prefix_query(q)
    if query is None:
        return []
    rows = await connection.fetch(_NAMES, query, fold(q), limit)
    return [row["name"] for row in rows]


_NAMES = f"""
SELECT name FROM (
    SELECT DISTINCT ON (name) name, folded_name FROM (
        SELECT name, folded_name FROM product
        WHERE is_active AND to_tsvector('simple', folded_name) @@ to_tsquery('simple', $1)
        LIMIT {MAX_SUGGESTION_CANDIDATES}
    ) found
) names
ORDER BY starts_with(folded_name, $2) DESC, length(name), name LIMIT $3
"""  # noqa: S608 - constants


def _filter(statement: _Statement, body: ListProducts) -> str:
    """Adds the requested filters to the conditions; returns the rank among the products found."""
    rank = ""
    if body.q:
        query, exact = _text_query(statement, body.q)
        rank = _RANK.format(query, exact)
        statement.conditions.append(f"p.terms @@ {query}")
    if body.category is not None:
        statement.where(_CATEGORY, (body.category, "text"))
    if body.min_price is not None:
        statement.where("p.price >= {0}", (body.min_price, "bigint"))
    if body.max_price is not None:
        statement.where("p.price <= {0}", (body.max_price, "bigint"))
    if body.min_rating is not None:
        statement.where("p.rating_average >= {0}", (body.min_rating, "float8"))
    if body.tag is not None:
        statement.where("p.tag_keys @> ARRAY[{0}]", (tag_key(body.tag), "text"))
    if body.in_stock is not None:
        statement.where(_IN_STOCK, (body.in_stock, "boolean"))
    return rank


def _text_query(statement: _Statement, q: str) -> tuple[str, str]:
    """The query for the text, and the part of it for exact matches.

    It is a subquery, which PostgreSQL computes once, and not again for each product whose rank it computes.
    """
    terms = parse_terms(q)
    exact, whole = statement.bind(terms.exact, "text"), statement.bind(terms.text, "text")
    if not terms.prefix:
        return f"(SELECT {_QUERY.format(exact, whole)})", exact
    all_words = statement.bind(terms.all_words, "text")
    if not terms.complete_words:
        return f"(SELECT {_QUERY_OF_ONE_WORD.format(exact, whole, all_words)})", exact
    complete, prefix = statement.bind(terms.complete_words, "text"), statement.bind(terms.prefix, "text")
    return f"(SELECT {_QUERY_OF_WORDS.format(exact, whole, all_words, complete, prefix)})", exact


def _facet_order(row: Any) -> tuple[str, int, str]:
    """Price ranges in ascending order, other facets by descending count."""
    if row["facet"] == "price":
        return ("price", int(row["value"]), "")
    return (row["facet"], -row["count"], row["value"])
