"""Keyset cursors: the sort key of the last row of a page, opaque to its holder."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar
from uuid import UUID

import orjson

from contracts.failure import InvalidCursor


class HasId(Protocol):
    @property
    def id(self) -> UUID: ...


IdentifiedT = TypeVar("IdentifiedT", bound=HasId)


def encode_cursor(*key: Any) -> str:
    """`key` holds strings, numbers, UUIDs and datetimes, in the order of the list's sort."""
    return urlsafe_b64encode(orjson.dumps(key, default=str)).decode().rstrip("=")  # asyncpg has a UUID of its own


def decode_cursor(cursor: str, *parsers: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The key again, each part made anew by its kind (`UUID`, `datetime.fromisoformat`, `int`, `str`)."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(kind(part) for kind, part in zip(parsers, parts, strict=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidCursor from error


def decode_id_cursor(cursor: str | None) -> UUID | None:
    """Of a list that is sorted by id: the last id of the page before, None at its beginning."""
    return decode_cursor(cursor, UUID)[0] if cursor else None


def paginate(items: Sequence[IdentifiedT], limit: int) -> tuple[list[IdentifiedT], str | None]:
    """The page and its cursor, of a list that is sorted by id: `found` has one more than the limit if it goes on."""
    shown = list(items[:limit])
    return shown, encode_cursor(str(shown[-1].id)) if len(items) > len(shown) else None
