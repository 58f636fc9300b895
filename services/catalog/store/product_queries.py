"""Lists of products: the rows of one page by any filter and sort, and what else matches.

A statement is put together from the constants below, by what is asked for, so that each combination is planned for
itself. Pages go on after the sort key of their last product, so that products that come in between neither shift nor
repeat others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.catalog import Facet, ListProducts, Sort
from infra.database.postgres import Connection
from services.catalog.domain.search import PRICE_STEPS, prefixes, price_range, typed
from services.catalog.store.product_documents import CURRENT

MOST_COUNTED = 10_000
MOST_TAGS = 20
MOST_SUGGESTED_FROM = 500

_QUERY = "websearch_to_tsquery('english', {0})"
_QUERY_UNFINISHED = (
    "(websearch_to_tsquery('english', {0}) || (websearch_to_tsquery('english', {1}) && to_tsquery('english', {2})))"
)
_QUERY_ONE_WORD = "(websearch_to_tsquery('english', {0}) || to_tsquery('english', {1}))"
_CATEGORY = """p.category_id IN (
    WITH RECURSIVE below AS (
        SELECT id FROM category WHERE slug = {0} UNION SELECT c.id FROM category c JOIN below b ON c.parent_id = b.id
    ) SELECT id FROM below
)"""
_IN_STOCK = "{0} = EXISTS (SELECT FROM stock s WHERE s.product_id = p.id AND s.on_hand > s.reserved)"


@dataclass(frozen=True, slots=True)
class Order:
    """How a sort orders, which columns of a row make its cursor, and their types in SQL."""

    by: str
    after: str
    key: tuple[str, ...]
    types: tuple[str, ...]


ORDERS = {
    Sort.NEWEST: Order("p.id DESC", "p.id < {0}", ("id",), ("uuid",)),
    Sort.PRICE: Order("p.price, p.id", "(p.price, p.id) > ({0}, {1})", ("price", "id"), ("bigint", "uuid")),
    Sort.PRICE_DESCENDING: Order(
        "p.price DESC, p.id DESC", "(p.price, p.id) < ({0}, {1})", ("price", "id"), ("bigint", "uuid")
    ),
    Sort.NAME: Order("lower(p.name), p.id", "(lower(p.name), p.id) > ({0}, {1})", ("lowered", "id"), ("text", "uuid")),
    Sort.RATING: Order(
        "p.rating_average DESC, p.id DESC",
        "(p.rating_average, p.id) < ({0}, {1})",
        ("rating_average", "id"),
        ("float8", "uuid"),
    ),
    Sort.RELEVANCE: Order("p.rank DESC, p.id DESC", "(p.rank, p.id) < ({0}, {1})", ("rank", "id"), ("float4", "uuid")),
}


@dataclass(slots=True)
class _Statement:
    """Conditions and the parameters they name."""

    conditions: list[str] = field(default_factory=lambda: ["p.is_active"])
    parameters: list[Any] = field(default_factory=list)

    def name(self, value: Any, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def where(self, template: str, *values: tuple[Any, str]) -> None:
        self.conditions.append(template.format(*(self.name(value, kind) for value, kind in values)))

    @property
    def condition(self) -> str:
        return " AND ".join(self.conditions)


async def page(connection: Connection, body: ListProducts, sort: Sort, after: Sequence[Any] | None) -> list[Any]:
    """Rows of the products after a key; one more than asked for when there are more."""
    statement = _Statement()
    rank = _filter(statement, body)
    order = ORDERS[sort]
    ranked = f", ts_rank(p.search, {rank}) AS rank" if sort is Sort.RELEVANCE else ""
    source = f"(SELECT p.*{ranked} FROM product p WHERE {statement.condition}) p" if ranked else "product p"  # noqa: S608 - constants
    conditions = [] if ranked else [statement.condition]
    if after is not None:
        conditions.append(order.after.format(*map(statement.name, after, order.types)))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    limit = statement.name(body.limit + 1, "int")
    extra = ", p.rank" if ranked else ""
    keys = "".join(f"p.{column}, " for column in order.key if column != "id")
    return await connection.fetch(
        f"""
        SELECT {keys}{CURRENT}
        FROM (
            SELECT p.id, p.price, lower(p.name) AS lowered, p.name, p.rating_average, p.category_id, p.version{extra}
            FROM {source} {where} ORDER BY {order.by} LIMIT {limit}
        ) p
        LEFT JOIN category c ON c.id = p.category_id
        ORDER BY {order.by}
        """,  # noqa: S608 - put together from constants; every value is a parameter
        *statement.parameters,
    )


def key(row: Any, sort: Sort) -> tuple[Any, ...]:
    """What a page goes on after, when the row is its last."""
    return tuple(row[column] for column in ORDERS[sort].key)


async def facets(connection: Connection, body: ListProducts) -> dict[str, list[Facet]]:
    """How many of the products that match are in which category, at which price, with which tag."""
    statement = _Statement()
    _filter(statement, body)
    steps = statement.name(list(PRICE_STEPS), "bigint[]")
    rows = await connection.fetch(
        f"""
        WITH found AS MATERIALIZED (
            SELECT p.category_id, p.price, p.tags FROM product p WHERE {statement.condition} LIMIT {MOST_COUNTED}
        )
        SELECT 'category' AS facet, c.slug AS value, count(*) AS count
        FROM found f JOIN category c ON c.id = f.category_id GROUP BY c.slug
        UNION ALL
        SELECT 'price', width_bucket(f.price, {steps})::text, count(*) FROM found f GROUP BY 2
        UNION ALL
        (SELECT 'tag', t.tag, count(*) FROM found f, unnest(f.tags) AS t (tag)
         GROUP BY t.tag ORDER BY 3 DESC, 2 LIMIT {MOST_TAGS})
        """,  # noqa: S608 - put together from constants; every value is a parameter
        *statement.parameters,
    )
    found: dict[str, list[Facet]] = {"category": [], "price": [], "tag": []}
    for row in sorted(rows, key=_facet_order):
        value = price_range(int(row["value"])) if row["facet"] == "price" else row["value"]
        found[row["facet"]].append(Facet(value=value, count=row["count"]))
    return found


async def names(connection: Connection, q: str, limit: int) -> list[str]:
    """Names of products whose words begin as the words of `q` do; those that begin with `q` itself come first."""
    query = prefixes(q)
    if query is None:
        return []
    rows = await connection.fetch(_NAMES, query, q.lower(), limit)
    return [row["name"] for row in rows]


_NAMES = f"""
SELECT name FROM (
    SELECT DISTINCT name FROM (
        SELECT name FROM product
        WHERE is_active AND to_tsvector('simple', name) @@ to_tsquery('simple', $1) LIMIT {MOST_SUGGESTED_FROM}
    ) found
) names
ORDER BY starts_with(lower(name), $2) DESC, length(name), name LIMIT $3
"""  # noqa: S608 - constants


def _filter(statement: _Statement, body: ListProducts) -> str:
    """Adds what is asked for to the conditions; the text query, for ranking."""
    query = _text(statement, body.q) if body.q else ""
    if query:
        statement.conditions.append(f"p.search @@ {query}")
    if body.category is not None:
        statement.where(_CATEGORY, (body.category, "text"))
    if body.min_price is not None:
        statement.where("p.price >= {0}", (body.min_price, "bigint"))
    if body.max_price is not None:
        statement.where("p.price <= {0}", (body.max_price, "bigint"))
    if body.min_rating is not None:
        statement.where("p.rating_average >= {0}", (body.min_rating, "float8"))
    if body.tag is not None:
        statement.where("p.tags @> ARRAY[{0}]", (body.tag, "text"))
    if body.in_stock is not None:
        statement.where(_IN_STOCK, (body.in_stock, "boolean"))
    return query


def _text(statement: _Statement, q: str) -> str:
    words = typed(q)
    whole = statement.name(words.whole, "text")
    if not words.last:
        return _QUERY.format(whole)
    if not words.head:
        return _QUERY_ONE_WORD.format(whole, statement.name(words.last, "text"))
    return _QUERY_UNFINISHED.format(whole, statement.name(words.head, "text"), statement.name(words.last, "text"))


def _facet_order(row: Any) -> tuple[str, int, str]:
    """Price ranges from the cheapest on, everything else by how often it is found."""
    if row["facet"] == "price":
        return ("price", int(row["value"]), "")
    return (row["facet"], -row["count"], row["value"])
