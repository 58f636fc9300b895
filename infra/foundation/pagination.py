"""Keyset pagination: a cursor is the encoded sort key of the last row of a page, opaque to clients.

A page is cut by the number of its items and by their bytes, so that it fits into one reply.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel
from pydantic_core import SchemaSerializer

from contracts.failure import InvalidCursor
from contracts.size_limits import MAX_PAGE_BYTES


class ListItem(Protocol):
    """An item of a list that is sorted by id: a model of a contract."""

    __pydantic_serializer__: ClassVar[SchemaSerializer]

    @property
    def id(self) -> UUID: ...


ItemT = TypeVar("ItemT", bound=ListItem)
ModelT = TypeVar("ModelT", bound=BaseModel)


def encode_cursor(*key: Any) -> str:
    """Encodes a sort key: strings, numbers, UUIDs and datetimes in the sort order of the list."""
    return urlsafe_b64encode(orjson.dumps(key, default=str)).decode().rstrip("=")  # `str` is for asyncpg's own UUID


def decode_cursor(cursor: str, *parsers: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Decodes a sort key, each part with its parser (`UUID`, `datetime.fromisoformat`, `int`, `str`).

    Raises `InvalidCursor` if the cursor was not made by `encode_cursor` for such a key.
    """
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(parse(part) for parse, part in zip(parsers, parts, strict=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidCursor from error


def decode_id_cursor(cursor: str | None) -> UUID | None:
    """Decodes the cursor of a list sorted by id: the last id of the previous page, or None for the first page."""
    return decode_cursor(cursor, UUID)[0] if cursor else None


def count_fitting(sizes: Iterable[int], max_bytes: int = MAX_PAGE_BYTES) -> int:
    """Returns how many items, given by their sizes in bytes, fit into a page: at least one, if there is one."""
    count, total = 0, 0
    for size in sizes:
        total += size + len(",")
        if count and total > max_bytes:
            break
        count += 1
    return count


def take_fitting(items: Sequence[ModelT], limit: int, max_bytes: int = MAX_PAGE_BYTES) -> list[ModelT]:
    """Returns the first items, at most `limit`, that fit into a page as JSON."""
    sizes = (len(item.__pydantic_serializer__.to_json(item)) for item in items[:limit])
    return list(items[: count_fitting(sizes, max_bytes)])


def paginate(items: Sequence[ItemT], limit: int, max_bytes: int = MAX_PAGE_BYTES) -> tuple[list[ItemT], str | None]:
    """Returns a page of a list sorted by id, and the cursor of the next page if there is one.

    `items` is read with `limit + 1`, so that one extra item shows that the list goes on.
    """
    sizes = (len(item.__pydantic_serializer__.to_json(item)) for item in items[:limit])
    page = list(items[: count_fitting(sizes, max_bytes)])
    return page, encode_cursor(str(page[-1].id)) if len(items) > len(page) else None
