"""The conditions of product lists and search, and the sort orders, from which each statement is composed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.catalog import ListProducts, ProductSort, ProductStatus
from services.catalog.domain.facet_ids import ValueKind, facet_id, value_facet
from services.catalog.domain.folded_text import name_key, tag_key
from services.catalog.domain.search import SearchVocabulary, parse_terms
from services.catalog.store.product_documents import ON_SALE

MAX_EXACT_MATCHES = 100

_QUERY = """CASE numnode(websearch_to_tsquery('{language}', {text}))
    WHEN 0 THEN websearch_to_tsquery('simple', {text}) ELSE websearch_to_tsquery('{language}', {text}) END"""
"""The text; in the words as they are if the language has only stop words for it."""
_ALL_WORDS = """CASE WHEN numnode(to_tsquery('{language}', {all_words})) < numnode(to_tsquery('simple', {all_words}))
    THEN to_tsquery('simple', {all_words}) ELSE ''::tsquery END"""
"""Stop words too, if there are any: they cost time, because many names have them."""
_QUERY_OF_WORDS = f"""websearch_to_tsquery('{{language}}', {{text}}) || {_ALL_WORDS}
    || (websearch_to_tsquery('{{language}}', {{complete}}) && to_tsquery('{{language}}', {{prefix}}))"""
_QUERY_OF_ONE_WORD = f"""websearch_to_tsquery('{{language}}', {{text}}) || {_ALL_WORDS}
    || to_tsquery('{{language}}', {{all_words}})"""
_ALTERNATIVES = "to_tsquery('{language}', {alternatives})"
_OLDER = """CASE WHEN (SELECT o.id FROM product o WHERE o.indexed_version <> o.version ORDER BY o.id LIMIT 1) IS NULL
    THEN ''::tsquery ELSE {0} END"""
"""The query if a product waits for the indexer, else one that finds nothing without a look at the index."""
_MATCH = """(p.terms @@ {0} OR p.id = ANY (ARRAY(
    SELECT o.id FROM product o WHERE o.search @@ {1} AND o.indexed_version <> o.version
)))"""
"""Until the indexer has reached a product of an older release, the column of that release is searched.

Both conditions are exactly what indexes find, so that PostgreSQL does not check the text of each product again.
"""
_EXACT_IDS = f"""(
    SELECT coalesce((array_agg(e.id ORDER BY e.id DESC))[:{MAX_EXACT_MATCHES}], '{{{{}}}}')
    FROM product e WHERE e.is_active AND e.terms @@ {{0}}::tsquery
)::uuid[]"""  # noqa: S608 - constants
"""With ORDER BY and LIMIT, PostgreSQL would look for a name that no product has from the newest product on."""
_RANK = "(ts_rank(p.terms, {0}) + CASE WHEN p.id = ANY ({1}) THEN 2 ELSE 0 END)::real"
"""Exact matches come first: the rank of others is less than 1. They are found once, not compared with each product."""
_RANK_OF_CORRECTED = """(ts_rank(p.terms, {0}) + CASE WHEN p.id = ANY ({1}) THEN 2 WHEN p.terms @@ {2} THEN 1 ELSE 0
    END)::real"""
"""What matches as it was typed comes before what a corrected word finds."""
SUBTREE = """WITH RECURSIVE below AS (
    SELECT id FROM category WHERE {0}
    UNION SELECT c.id FROM category c JOIN below b ON c.parent_id = b.id
) SELECT id FROM below"""
_BY_STATUS: Mapping[ProductStatus | None, str] = {
    ProductStatus.DRAFT: "p.is_active AND p.publish_at > now()",
    ProductStatus.INACTIVE: "NOT p.is_active",
}
_IN_STOCK = """EXISTS (
    SELECT FROM stock s WHERE s.product_id = p.id AND (s.on_hand > s.reserved OR s.backorder OR NOT s.is_tracked)
)"""


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
        "p.rating_rank DESC, p.id DESC",
        "(p.rating_rank, p.id) < ({0}, {1})",
        ("rating_rank", "id"),
        ("float8", "uuid"),
    ),
    ProductSort.RELEVANCE: SortOrder(
        "p.rank DESC, p.id DESC", "(p.rank, p.id) < ({0}, {1})", ("rank", "id"), ("float4", "uuid")
    ),
}


@dataclass(frozen=True, slots=True)
class TextQuery:
    """SQL expressions of a search text: its whole query, and the part of it for exact matches."""

    whole: str
    exact: str
    typed: str = ""
    """The query without corrections; empty if it has none."""

    @property
    def rank(self) -> str:
        """How well the product `p` matches."""
        if self.typed:
            return _RANK_OF_CORRECTED.format(self.whole, self.exact_ids, self.typed)
        return _RANK.format(self.whole, self.exact_ids)

    @property
    def exact_ids(self) -> str:
        """The newest products whose whole name, or a whole SKU, is the text."""
        return _EXACT_IDS.format(self.exact)


@dataclass(slots=True)
class Statement:
    """Conditions on the product `p`, and the parameters that they refer to."""

    conditions: list[str] = field(default_factory=lambda: [ON_SALE])
    parameters: list[Any] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    """Common tables that the conditions refer to."""
    facet_filters: dict[str, str] = field(default_factory=dict)
    """The conditions by the facets that count without them, or by the ids of names of attributes and options."""

    @staticmethod
    def of(body: ListProducts) -> "Statement":
        """A statement about the products with the requested status; without one, about those on sale."""
        return Statement([_BY_STATUS.get(body.status, ON_SALE)])

    def copy(self) -> "Statement":
        """The same conditions and parameters, to add others to."""
        return Statement([*self.conditions], [*self.parameters], [*self.tables], {**self.facet_filters})

    def bind(self, value: Any, sql_type: str) -> str:
        """Adds a parameter and returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{sql_type}"

    def where(self, template: str, *values: tuple[Any, str]) -> None:
        """Adds a condition; each value comes with its SQL type."""
        self.conditions.append(template.format(*(self.bind(value, sql_type) for value, sql_type in values)))

    def after(self, sort: ProductSort, key: Sequence[Any]) -> str:
        """The condition of a product to come after a sort key.

        A cursor holds a product's name instead of its key, which is made from it.
        """
        if sort is ProductSort.NAME:
            key = (name_key(key[0]), key[1])
        order = SORT_ORDERS[sort]
        return order.after_condition.format(*map(self.bind, key, order.key_types))

    def filter(self, body: ListProducts) -> None:
        """Adds every requested filter but the text and the category."""
        prices = []
        if body.min_price is not None:
            prices.append(f"p.price >= {self.bind(body.min_price, 'bigint')}")
        if body.max_price is not None:
            prices.append(f"p.price <= {self.bind(body.max_price, 'bigint')}")
        if prices:
            self.facet_filters["price"] = " AND ".join(prices)
        if body.min_rating is not None:
            self.facet_filters["rating"] = f"p.rating_average >= {self.bind(body.min_rating, 'float8')}"
        if body.tag:
            keys = [tag_key(tag) for tag in body.tag]
            self.facet_filters["tag"] = f"p.tag_keys && {self.bind(keys, 'text[]')}"
        self._filter_values(ValueKind.ATTRIBUTE, body.attribute)
        self._filter_values(ValueKind.OPTION, body.option)
        if body.in_stock is not None:
            self.conditions.append(_IN_STOCK if body.in_stock else f"NOT {_IN_STOCK}")

    def subtree(self, slugs: Sequence[str]) -> str:
        """A query for the ids of these categories and all below them."""
        if len(slugs) == 1:
            return SUBTREE.format(f"slug = {self.bind(slugs[0], 'text')}")
        return SUBTREE.format(f"slug = ANY ({self.bind(list(slugs), 'text[]')})")

    def _filter_values(self, kind: ValueKind, filters: Mapping[str, Sequence[str]]) -> None:
        for name, values in filters.items():
            ids = self.bind([facet_id(kind, name, value) for value in values], "bigint[]")
            key, condition = value_facet(kind, name), f"p.facet_ids && {ids}"
            self.facet_filters[key] = " AND ".join(filter(None, [self.facet_filters.get(key), condition]))

    def match(self, q: str, *, is_planned_anew: bool, vocabulary: SearchVocabulary | None = None) -> TextQuery:
        """Adds the condition that a product matches the text.

        In a statement that is planned anew the query is a constant, which tells the planner how many products match.
        Otherwise it is a row of the common table `text_query`: PostgreSQL computes it once for all its uses.
        """
        vocabulary = vocabulary or SearchVocabulary()
        terms = parse_terms(q, vocabulary)
        exact = self.bind(terms.exact, "text")
        texts = {"text": self.bind(terms.text, "text")}
        queries = [_QUERY]
        if terms.prefix:
            texts["all_words"] = self.bind(terms.all_words, "text")
            queries = [_QUERY_OF_ONE_WORD]
            if terms.complete_words:
                texts["complete"], texts["prefix"] = (
                    self.bind(words, "text") for words in (terms.complete_words, terms.prefix)
                )
                queries = [_QUERY_OF_WORDS]
        typed = _combine(exact, queries, texts, vocabulary) if vocabulary.corrections else ""
        if terms.alternatives:
            texts["alternatives"] = self.bind(terms.alternatives, "text")
            queries.append(_ALTERNATIVES)
        query = _combine(exact, queries, texts, vocabulary)
        older = f"(SELECT {_OLDER.format(query)})"
        if not is_planned_anew:
            columns = f"query, {_OLDER.format('query')} AS older, {typed or 'query'} AS typed"
            once = f"SELECT {columns} FROM (SELECT {query} AS query OFFSET 0) q"  # noqa: S608 - constants
            self.tables.append(f"text_query AS MATERIALIZED ({once})")
            query, older = "(SELECT query FROM text_query)", "(SELECT older FROM text_query)"
            typed = typed and "(SELECT typed FROM text_query)"
        found = TextQuery(query, exact, typed)
        self.conditions.append(_MATCH.format(query, older))
        return found

    def with_tables(self, found: str) -> str:
        """The beginning of a statement: the common tables, and as `found` the products that the query finds."""
        return f"WITH {', '.join([*self.tables, f'found AS MATERIALIZED ({found})'])}"

    @property
    def condition(self) -> str:
        """All conditions, joined by AND."""
        return " AND ".join([*self.conditions, *self.facet_filters.values()])


def _combine(exact: str, queries: Sequence[str], texts: Mapping[str, str], vocabulary: SearchVocabulary) -> str:
    """The exact terms, or any of the queries in any of the languages."""
    parts = [
        query.format(language=f"shop_{language}", **texts) for language in vocabulary.languages for query in queries
    ]
    return f"({exact}::tsquery || {' || '.join(f'({part})' for part in parts)})"
