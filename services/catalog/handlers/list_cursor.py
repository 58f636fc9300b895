"""Cursors of product lists: bound to the sort they were made for."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from contracts.catalog import Sort
from contracts.failure import BadCursor
from contracts.money import MAX_AMOUNT
from infra.foundation import pagination as cursor

_KINDS: dict[Sort, tuple[type, ...]] = {
    Sort.NEWEST: (UUID,),
    Sort.PRICE: (int, UUID),
    Sort.PRICE_DESCENDING: (int, UUID),
    Sort.NAME: (str, UUID),
    Sort.RATING: (float, UUID),
    Sort.RELEVANCE: (float, UUID),
}
_WITHIN: dict[type, Callable[[Any], bool]] = {
    int: lambda amount: 0 <= amount <= MAX_AMOUNT,
    float: lambda figure: 0 <= figure <= 1e30,  # noqa: PLR2004 - what a float4 holds; NaN is not within
    str: lambda text: "\0" not in text,
    UUID: lambda _: True,
}


def encode(sort: Sort, key: Sequence[Any]) -> str:
    return cursor.encode(sort.value, *(str(part) if isinstance(part, UUID) else part for part in key))


def decode(sort: Sort, given: str) -> Sequence[Any]:
    """The key that the page goes on after; raises `BadCursor` for one of another sort, or of nobody's making."""
    made_for, *key = cursor.decode(given, str, *_KINDS[sort])
    if made_for != sort.value or not all(_WITHIN[type(part)](part) for part in key):
        raise BadCursor
    return key
