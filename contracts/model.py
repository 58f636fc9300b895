"""The types every message is made of."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
)

__all__ = [
    "CountryCode",
    "Cursor",
    "Email",
    "Id",
    "InputTimestamp",
    "ListPage",
    "Model",
    "MultilineText",
    "PageParams",
    "Quantity",
    "Secret",
    "SingleLine",
    "Sku",
    "Slug",
    "Timestamp",
]

ItemT = TypeVar("ItemT")


class Model(BaseModel):
    """A message body: immutable, strictly typed, and closed to fields it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
    )


Id = UUID
"""A UUIDv7, made by the service that owns the thing."""

Timestamp = AwareDatetime
"""A moment in UTC, RFC 3339 with `Z` on the wire."""


def _require_rfc3339(value: object) -> object:
    """A year would be read as seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and "-" in value[1:]):
        message = "Input should be a moment as of RFC 3339"
        raise ValueError(message)
    return value


InputTimestamp = Annotated[Timestamp, Field(strict=False), BeforeValidator(_require_rfc3339)]
"""A moment that a client names. Not strict: what a validator has looked at is no JSON any more, but a string."""

SingleLine = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=255)]
"""One line of text: no control characters, so that it is safe in a mail header and in a log."""

MultilineText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=20_000)]
"""Text of any number of lines, without NUL, which PostgreSQL cannot hold."""

NonEmptyLine = Annotated[SingleLine, StringConstraints(min_length=1, strip_whitespace=True)]
"""A line that says something."""

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)]
"""The stock keeping unit: what is counted, priced and sold."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=120)]
"""The part of a URL that a person can read."""

Email = Annotated[
    str,
    StringConstraints(
        pattern=r"^[^@\s\x00-\x1f\x7f<>,;:\"\\]+@[^@\s\x00-\x1f\x7f<>,;:\"\\]+\.[^@\s\x00-\x1f\x7f<>,;:\"\\.]+$",
        max_length=254,
    ),
]
"""An e-mail address, one, without a display name."""

CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""

Quantity = Annotated[int, Field(ge=1, le=999)]
"""Units of one SKU in one line."""

Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_=-]+$", max_length=1024)]
"""Where a list goes on; opaque to its holder."""

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]
"""Travels in a message, is starred out of every representation."""


class Empty(Model):
    """A request or a reply that says nothing."""


class PageParams(Model):
    """The part of a list that is asked for."""

    limit: Annotated[int, Field(ge=1, le=100, description="How many items at the most.")] = 20
    after: Annotated[Cursor | None, Field(description="The `next` of the page before.")] = None


class ListPage(Model, Generic[ItemT]):
    """A part of a list."""

    items: list[ItemT]
    next: Annotated[Cursor | None, Field(description="Ask with `after` set to this for more; null at the end.")] = None
