"""Cursors of product lists. A cursor is valid only for the sort it was made for."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from contracts.catalog import ProductSort
from contracts.failure import InvalidCursor
from contracts.money import MAX_AMOUNT
from infra.foundation.pagination import decode_cursor, encode_cursor

MAX_CURSOR_LENGTH = 1024
UNNAMED = ""
"""In place of a name in a cursor; no product has it."""

_KEY_TYPES: dict[ProductSort, tuple[type, ...]] = {
    ProductSort.NEWEST: (UUID,),
    ProductSort.PRICE: (int, UUID),
    ProductSort.PRICE_DESCENDING: (int, UUID),
    ProductSort.NAME: (str, UUID),
    ProductSort.RATING: (float, UUID),
    ProductSort.RELEVANCE: (float, UUID, UUID),
}
_OLDER_KEY_TYPES: dict[ProductSort, tuple[type, ...]] = {ProductSort.RELEVANCE: (float, UUID)}
"""Of cursors that the release before made."""
_IS_IN_RANGE: dict[type, Callable[[Any], bool]] = {
    int: lambda amount: 0 <= amount <= MAX_AMOUNT,
    float: lambda number: -5 <= number <= 1e30,  # noqa: PLR2004 - ranks by rating and by relevance (float4); no NaN
    str: lambda text: "\0" not in text,
    UUID: lambda _: True,
}


def encode(sort: ProductSort, key: Sequence[Any]) -> str:
    """The cursor of a page, from the sort key of its last product.

    A name of many bytes would make it longer than a cursor may be; an empty name stands for the name of that product.
    """
    cursor = encode_cursor(sort.value, *(str(part) if isinstance(part, UUID) else part for part in key))
    if len(cursor) <= MAX_CURSOR_LENGTH:
        return cursor
    return encode_cursor(sort.value, UNNAMED, str(key[-1]))


def decode(sort: ProductSort, cursor: str) -> Sequence[Any]:
    """The sort key that the page starts after; raises `InvalidCursor` for a cursor of another sort or a forged one."""
    try:
        cursor_sort, *key = decode_cursor(cursor, str, *_KEY_TYPES[sort])
    except InvalidCursor:
        if sort not in _OLDER_KEY_TYPES:
            raise
        cursor_sort, *key = decode_cursor(cursor, str, *_OLDER_KEY_TYPES[sort])
    if cursor_sort != sort.value or not all(_IS_IN_RANGE[type(part)](part) for part in key):
        raise InvalidCursor
    return tuple(key)
