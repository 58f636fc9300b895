"""How tags, attributes and options are written, which this process keeps, and the JSON of facets with them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from infra.database.postgres import Connection
from services.catalog.domain.facet_counter import FacetCounts
from services.catalog.domain.facet_ids import ValueKind

MAX_SPELLINGS = 50_000
"""The oldest entry is dropped first."""
MAX_AGE_SECONDS = 300.0
"""A product may bring another spelling, which is shown if it sorts before the others."""
_FIND = """
SELECT DISTINCT ON (v.id) v.id, v.name, v.value FROM facet_value v WHERE v.id = ANY ($1)
ORDER BY v.id, v.name, v.value
"""


@dataclass(frozen=True, slots=True)
class Spelling:
    """A tag, attribute or option as it is written, and the JSON of its item before and after the count."""

    text: tuple[str, str]
    """The name, which a tag has not, and the value."""
    before: str
    after: str
    until: float
    """When it has to be read again, by the monotonic clock."""

    @staticmethod
    def of(name: str, value: str, until: float) -> "Spelling":
        """A tag has no name, which is null in JSON."""
        return Spelling((name, value), f'{{"value":{_json(value)},"count":', f',"name":{_json(name or None)}}}', until)


class FacetValueCache:
    """The spellings of numbers that facets have shown."""

    def __init__(self) -> None:
        self._spellings: dict[int, Spelling] = {}

    async def render(self, connection: Connection, counts: FacetCounts) -> str:
        """The facets as members of a JSON object."""
        shown = counts.shown_values()
        spellings = await self._find(connection, [value_id for items in shown.values() for value_id, _ in items])
        members = [
            _member("category", [_item(*item) for item in counts.shown_categories()]),
            _member("price", [_item(*item) for item in counts.shown_prices()]),
            _member("rating", [_item(*item) for item in counts.shown_ratings()]),
            *(_member(kind.name.lower(), _items(shown[kind], spellings)) for kind in ValueKind),
        ]
        return ",".join(members)

    async def _find(self, connection: Connection, value_ids: Sequence[int]) -> Mapping[int, Spelling]:
        known, now = self._spellings, time.monotonic()
        found = {one: spelling for one in value_ids if (spelling := known.get(one)) and spelling.until > now}
        if len(found) < len(value_ids):
            missing = [one for one in value_ids if one not in found]
            for row in await connection.fetch(_FIND, missing):
                known.pop(row["id"], None)
                known[row["id"]] = found[row["id"]] = Spelling.of(row["name"], row["value"], now + MAX_AGE_SECONDS)
            while len(known) > MAX_SPELLINGS:
                del known[next(iter(known))]
        return found


def _items(shown: Sequence[tuple[int, int]], spellings: Mapping[int, Spelling]) -> list[str]:
    """Sorted by descending count, and then as they are written."""
    items = sorted((-count, spellings[one].text, one) for one, count in shown if one in spellings)
    return [f"{spellings[one].before}{-count}{spellings[one].after}" for count, _, one in items]


def _member(facet: str, items: Iterable[str]) -> str:
    return f'"{facet}":[{",".join(items)}]'


def _item(value: str, count: int) -> str:
    """The item of a slug, a range or a number of stars, which need no escaping."""
    return f'{{"value":"{value}","count":{count},"name":null}}'


def _json(text: str | None) -> str:
    return orjson.dumps(text).decode()
