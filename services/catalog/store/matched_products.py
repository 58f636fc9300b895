"""Reads the products that match a text, or all, once for any filters; and ranks those of them that a page needs."""

import asyncio
import sys
from array import array
from collections.abc import Sequence

from contracts.catalog import ListProducts
from infra.database.postgres import Connection
from services.catalog.domain.matched_products import MatchedProducts, PlaceSet
from services.catalog.domain.search import SearchVocabulary
from services.catalog.store.product_filters import Statement

MAX_MATCHES = 100_000
"""Facets of larger results are counted by the database."""
_COLUMNS = "p.id, p.price, p.rating_average, p.category_id, p.facet_ids, p.search_version <> p.version AS is_unindexed"
_NUMBERED = """
SELECT m.*, row_number() OVER (ORDER BY m.price, m.id)::integer - 1 AS place FROM ({0} LIMIT {1}) m
"""
_READ = """
SELECT c.kind, NULL AS key, c.places FROM (
    SELECT string_agg(uuid_send(f.id), '' ORDER BY f.place) AS ids,
           string_agg(int8send(f.price), '' ORDER BY f.place) AS prices,
           string_agg(float8send(f.rating_average), '' ORDER BY f.place) AS ratings,
           string_agg(int4send(f.place), '' ORDER BY f.id DESC) AS newest,
           CASE WHEN bool_or(f.is_unindexed) THEN ''::bytea END AS unindexed
    FROM found f
) one CROSS JOIN LATERAL (VALUES
    ('ids', one.ids), ('prices', one.prices), ('ratings', one.ratings), ('newest', one.newest),
    ('unindexed', one.unindexed)
) AS c (kind, places)
UNION ALL
SELECT 'exact', NULL, string_agg(int4send(f.place), '') FROM found f WHERE f.id = ANY ({0})
UNION ALL
SELECT 'stars', floor(f.rating_average)::text, string_agg(int4send(f.place), '')
FROM found f WHERE f.rating_average >= 1 GROUP BY 2
UNION ALL
SELECT 'category', array_to_string(c.lineage, ' '), f.places
FROM (SELECT f.category_id, string_agg(int4send(f.place), '') AS places FROM found f GROUP BY 1) f
JOIN category c ON c.id = f.category_id
UNION ALL
SELECT 'value', v.value_id::text, string_agg(int4send(v.place), '')
FROM (SELECT unnest(f.facet_ids) AS value_id, f.place FROM found f) v GROUP BY v.value_id
"""
"""The columns of the products `found`, and the places of each value of a facet: numbers in network order."""


async def read_matches(
    connection: Connection, body: ListProducts, vocabulary: SearchVocabulary | None = None
) -> MatchedProducts | None:
    """The products of a request that has no filter but the text, whether they are in stock, and their status.

    None if there are too many of them, or if one has no tags, attributes and options yet.
    """
    statement, exact_ids = Statement.of(body), "'{}'::uuid[]"
    if body.q:
        exact_ids = statement.match(body.q, is_planned_anew=True, vocabulary=vocabulary).exact_ids
    statement.filter(body)
    matching = f"SELECT {_COLUMNS} FROM product p WHERE {statement.condition}"  # noqa: S608 - constants
    found = statement.with_tables(_NUMBERED.format(matching, MAX_MATCHES + 1))
    rows = await connection.fetch(f"{found}{_READ.format(exact_ids)}", *statement.parameters)
    columns = {kind: places for kind, key, places in rows if key is None and places is not None}
    prices = _numbers("q", columns.get("prices", b""))
    if "unindexed" in columns or len(prices) > MAX_MATCHES:
        return None
    sets = [(kind, key, PlaceSet(_numbers("i", places), len(prices))) for kind, key, places in rows if key is not None]
    matches = MatchedProducts(
        ids=columns.get("ids", b""),
        prices=prices,
        ratings=_numbers("d", columns.get("ratings", b"")),
        newest=_numbers("i", columns.get("newest", b"")),
        exact=_numbers("i", columns.get("exact", b"")),
        stars={int(key): found for kind, key, found in sets if kind == "stars"},
        categories={key: found for kind, key, found in sets if kind == "category"},
        values={int(key): found for kind, key, found in sets if kind == "value"},
    )
    await asyncio.to_thread(matches.make_bitmaps)
    return matches


async def rank(
    connection: Connection,
    body: ListProducts,
    matches: MatchedProducts,
    places: Sequence[int],
    vocabulary: SearchVocabulary | None = None,
) -> None:
    """Ranks those of the places that were not ranked before."""
    missing = [place for place in places if place not in matches.ranks]
    if not missing:
        return
    statement = Statement.of(body)
    assert body.q, "only matches of a text are ranked"
    query = statement.match(body.q, is_planned_anew=False, vocabulary=vocabulary)
    ids = statement.bind([matches.id_of(place) for place in missing], "uuid[]")
    chosen = f"unnest({ids}, {statement.bind(missing, 'integer[]')}) AS one (id, place)"
    rows = await connection.fetch(
        f"""
        WITH {", ".join(statement.tables)}
        SELECT one.place, {query.rank} AS rank FROM {chosen} JOIN product p ON p.id = one.id
        """,  # noqa: S608 - composed from constants; every value is a parameter
        *statement.parameters,
    )
    matches.ranks.update({row["place"]: row["rank"] for row in rows})


def _numbers(typecode: str, places: bytes) -> "array[int]":
    """Numbers in network order."""
    numbers = array(typecode, places)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
