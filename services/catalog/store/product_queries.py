"""The statements of product lists: pages by any filter and sort, and suggested names.

A statement is composed for each request, and PostgreSQL plans it anew on the connections for lists, so that each
combination of filters and sort has its own plan. A page starts after the sort key of the last product of the page
before, so that new products neither shift nor repeat others.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts.catalog import ListProducts, ProductSort
from infra.database.postgres import Connection
from services.catalog.domain.folded_text import query_text
from services.catalog.domain.search import SearchVocabulary, prefix_query
from services.catalog.store.product_documents import LIVE_COLUMNS, ON_SALE
from services.catalog.store.product_filters import SORT_ORDERS, SUBTREE, SortOrder, Statement, TextQuery

MAX_RANKED_PRODUCTS = 1_000
"""Beyond this many matches only the newest are ranked; all others follow, the newest first."""
EVERYTHING_RANKED = UUID(int=0)
UNRANKED = -1.0
"""In place of a rank, which is never negative."""
MAX_SUGGESTION_CANDIDATES = 500

_OLDEST_RANKED = f"""coalesce(
    (SELECT r.id FROM recent r ORDER BY r.id DESC OFFSET {MAX_RANKED_PRODUCTS - 1} LIMIT 1), '{EVERYTHING_RANKED}'
)"""  # noqa: S608 - constants
LIST_COLUMNS = """
    p.id, p.price, p.name, p.name_key, p.rating_average, p.rating_count, p.rating_rank, p.category_id, p.version,
    p.is_active, p.publish_at, p.planned_prices, p.planned_prices_end
"""
_FIND_NAME = "SELECT name FROM product WHERE id = $1"
_FIND_SUBTREE = SUBTREE.format("slug = ANY ($1)")
_NAMES = f"""
SELECT name FROM (
    SELECT DISTINCT ON (name) name, folded_name FROM (
        SELECT p.name, p.folded_name FROM product p
        WHERE {ON_SALE} AND to_tsvector('simple', p.folded_name) @@ to_tsquery('simple', $1)
        LIMIT {MAX_SUGGESTION_CANDIDATES}
    ) found
) names
ORDER BY starts_with(folded_name, $2) DESC, length(name), name LIMIT $3
"""  # noqa: S608 - constants


async def list_page(
    connection: Connection,
    body: ListProducts,
    sort: ProductSort,
    after: Sequence[Any] | None,
    vocabulary: SearchVocabulary | None = None,
) -> list[Any]:
    """The rows of a page after a sort key, and one more if the list goes on."""
    statement = Statement.of(body)
    if body.q:
        query = statement.match(body.q, is_planned_anew=True, vocabulary=vocabulary)
        statement.filter(body)
        await _filter_category(connection, statement, body)
        if sort is ProductSort.RELEVANCE:
            return await _list_ranked(connection, body, statement, query, after)
    elif body.category and is_plain(body):
        return await _list_category(connection, body, sort, after)
    else:
        statement.filter(body)
        await _filter_category(connection, statement, body)
    order = SORT_ORDERS[sort]
    if after is not None:
        statement.conditions.append(statement.after(sort, after))
    found = f"SELECT {LIST_COLUMNS} FROM product p WHERE {statement.condition} ORDER BY {order.order_by}"  # noqa: S608 - constants
    return await _fetch(connection, statement, f"{found} LIMIT {body.limit + 1}", order)


def is_plain(body: ListProducts) -> bool:
    """Whether one plan suits every such list, because an index has its products in their order."""
    filters = (body.q, body.min_price, body.max_price, body.min_rating, body.in_stock, body.status)
    return all(value is None for value in filters) and not (body.tag or body.attribute or body.option)


def names_oldest_ranked(sort: ProductSort, after: Sequence[Any] | None) -> bool:
    """Whether the page goes on in a search whose older matches are not ranked."""
    is_ranked = sort is ProductSort.RELEVANCE and after is not None and not _is_of_older_release(after)
    return is_ranked and after is not None and after[2] != EVERYTHING_RANKED


def _is_of_older_release(after: Sequence[Any]) -> bool:
    """Whether the cursor of a search names no oldest ranked product."""
    return len(after) == len(SORT_ORDERS[ProductSort.RELEVANCE].key_columns)


async def _filter_category(connection: Connection, statement: Statement, body: ListProducts) -> None:
    """Adds the condition for the category and all below it. The planner sees them, and so how many products match."""
    if slugs := body.category:
        category_ids = [row["id"] for row in await connection.fetch(_FIND_SUBTREE, slugs)]
        statement.where("p.category_id = ANY ({0})", (category_ids, "uuid[]"))


async def _list_category(
    connection: Connection, body: ListProducts, sort: ProductSort, after: Sequence[Any] | None
) -> list[Any]:
    """The page of a category: the first products of each category in the subtree, each from its own index, merged."""
    statement, order = Statement.of(body), SORT_ORDERS[sort]
    subtree = statement.subtree(body.category)
    if after is not None:
        statement.conditions.append(statement.after(sort, after))
    limit = body.limit + 1
    found = f"""
    SELECT {LIST_COLUMNS} FROM (
        SELECT p.id FROM ({subtree}) below CROSS JOIN LATERAL (
            SELECT p.id, p.price, p.name_key, p.rating_rank FROM product p
            WHERE p.category_id = below.id AND {statement.condition} ORDER BY {order.order_by} LIMIT {limit}
        ) p ORDER BY {order.order_by} LIMIT {limit}
    ) first JOIN product p ON p.id = first.id
    """  # noqa: S608 - composed from constants; every value is a parameter
    return await _fetch(connection, statement, found, order)


async def _list_ranked(
    connection: Connection, body: ListProducts, statement: Statement, query: TextQuery, after: Sequence[Any] | None
) -> list[Any]:
    """The page of a search by relevance: ranked products, then the unranked ones, the newest first.

    Each row, and so each cursor, names the oldest ranked product. The same products stay ranked while others are added,
    so each product is on one page.
    """
    rows: list[Any] = []
    if after is None or after[0] != UNRANKED:
        rows = await _fetch_ranked(connection, body, statement.copy(), query, after)
    oldest = EVERYTHING_RANKED
    if rows:
        oldest = rows[0]["oldest"]
    elif after is not None and not _is_of_older_release(after):
        oldest = after[2]
    missing = body.limit + 1 - len(rows)
    if missing and oldest != EVERYTHING_RANKED:
        newest = after[1] if after is not None and after[0] == UNRANKED else oldest
        rows += await _fetch_unranked(connection, statement, query, oldest=oldest, newest=newest, limit=missing)
    return rows


async def _fetch_ranked(
    connection: Connection, body: ListProducts, statement: Statement, query: TextQuery, after: Sequence[Any] | None
) -> list[Any]:
    """The ranked products of a page: the newest matches, and exact matches however old they are."""
    order = SORT_ORDERS[ProductSort.RELEVANCE]
    columns = f"{LIST_COLUMNS}, {query.rank} AS rank"
    matches = f"SELECT {columns} FROM product p WHERE {statement.condition}"  # noqa: S608 - constants
    if after is None or _is_of_older_release(after):
        recent = f"{matches} ORDER BY p.id DESC LIMIT {MAX_RANKED_PRODUCTS}"
        oldest = _OLDEST_RANKED
    else:
        oldest = statement.bind(after[2], "uuid")
        recent = matches if after[2] == EVERYTHING_RANKED else f"{matches} AND p.id >= {oldest}"
    condition = order.after_condition.format(*map(statement.bind, after, order.key_types)) if after else "true"
    found = f"""
    WITH recent AS MATERIALIZED ({recent}), boundary AS MATERIALIZED (SELECT {oldest} AS oldest)
    SELECT p.*, b.oldest FROM boundary b CROSS JOIN LATERAL (
        SELECT r.* FROM recent r UNION ALL {matches} AND p.id = ANY ({query.exact_ids}) AND p.id < b.oldest
    ) p WHERE {condition} ORDER BY {order.order_by} LIMIT {body.limit + 1}
    """  # noqa: S608 - composed from constants; every value is a parameter
    return await _fetch(connection, statement, found, order, "p.oldest, ")


async def _fetch_unranked(
    connection: Connection, statement: Statement, query: TextQuery, *, oldest: UUID, newest: UUID, limit: int
) -> list[Any]:
    """The matches that are not ranked and older than `newest`, the newest first."""
    columns = f"{LIST_COLUMNS}, {UNRANKED}::real AS rank, {statement.bind(oldest, 'uuid')} AS oldest"
    statement.where("p.id < {0}", (newest, "uuid"))
    found = f"""
    SELECT {columns} FROM product p WHERE {statement.condition} AND p.id <> ALL ({query.exact_ids})
    ORDER BY p.id DESC LIMIT {limit}
    """  # noqa: S608 - composed from constants; every value is a parameter
    return await _fetch(connection, statement, found, SORT_ORDERS[ProductSort.RELEVANCE], "p.oldest, ")


async def _fetch(
    connection: Connection, statement: Statement, found: str, order: SortOrder, extra_columns: str = ""
) -> list[Any]:
    """The products that the query `found` finds, with their live values."""
    keys = "".join(f"p.{column}, " for column in order.key_columns if column != "id")
    return await connection.fetch(
        f"""
        SELECT {keys}{extra_columns}{LIVE_COLUMNS} FROM ({found}) p LEFT JOIN category c ON c.id = p.category_id
        ORDER BY {order.order_by}
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )


async def find_name(connection: Connection, product_id: UUID) -> str:
    """The name of a product; empty if there is no such product."""
    return await connection.fetchval(_FIND_NAME, product_id) or ""


def page_key(row: Any, sort: ProductSort) -> tuple[Any, ...]:
    """The sort key of a row, which the next page starts after if the row is the last of its page."""
    key = tuple(row[column] for column in SORT_ORDERS[sort].key_columns)
    return (*key, row["oldest"]) if sort is ProductSort.RELEVANCE else key


async def suggest_names(
    connection: Connection, q: str, limit: int, corrections: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """Names that have the words of `q`, the last as a prefix; names that begin with `q` come first."""
    query = prefix_query(q, corrections)
    if query is None:
        return []
    rows = await connection.fetch(_NAMES, query, query_text(q), limit)
    return [row["name"] for row in rows]
