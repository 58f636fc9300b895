"""Ids and moments, in one place."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["new_id", "now"]


def new_id() -> UUID:
    """A UUIDv7: unique, and sorted by when it was made."""
    return uuid7()


def now() -> datetime:
    return datetime.now(UTC)
