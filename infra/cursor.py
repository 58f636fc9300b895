"""Keyset cursors: the sort key of the last row of a page, opaque to its holder."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import orjson

from contracts.failure import BadCursor


def encode(*key: Any) -> str:
    """`key` holds strings, numbers, UUIDs and datetimes, in the order of the list's sort."""
    return urlsafe_b64encode(orjson.dumps(key, default=str)).decode().rstrip("=")  # asyncpg has a UUID of its own


def decode(cursor: str, *kinds: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The key again, each part made anew by its kind (`UUID`, `datetime.fromisoformat`, `int`, `str`)."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadCursor from error
