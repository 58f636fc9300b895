"""New ids and the current time."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["new_id", "now"]


def new_id() -> UUID:
    """Returns a UUIDv7: unique, and sorted by creation time."""
    return uuid7()


def now() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)
