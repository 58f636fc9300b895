"""Cursors of product lists: bound to the sort they were made for."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from contracts.catalog import ProductSort
from contracts.failure import InvalidCursor
from contracts.money import MAX_AMOUNT
from infra.foundation import pagination as cursor

_KINDS: dict[ProductSort, tuple[type, ...]] = {
    ProductSort.NEWEST: (UUID,),
    ProductSort.PRICE: (int, UUID),
    ProductSort.PRICE_DESCENDING: (int, UUID),
    ProductSort.NAME: (str, UUID),
    ProductSort.RATING: (float, UUID),
    ProductSort.RELEVANCE: (float, UUID),
}
_WITHIN: dict[type, Callable[[Any], bool]] = {
    int: lambda amount: 0 <= amount <= MAX_AMOUNT,
    float: lambda figure: 0 <= figure <= 1e30,  # noqa: PLR2004 - what a float4 holds; NaN is not within
    str: lambda text: "\0" not in text,
    UUID: lambda _: True,
}


def encode(sort: ProductSort, key: Sequence[Any]) -> str:
    return cursor.encode_cursor(sort.value, *(str(part) if isinstance(part, UUID) else part for part in key))


def decode(sort: ProductSort, given: str) -> Sequence[Any]:
    """The key that the page goes on after; raises `BadCursor` for one of another sort, or of nobody's making."""
    made_for, *key = cursor.decode_cursor(given, str, *_KINDS[sort])
    if made_for != sort.value or not all(_WITHIN[type(part)](part) for part in key):
        raise InvalidCursor
    return key
