"""The base model and the types that all messages are made of."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
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
    """A message body: immutable, strictly typed, and closed to unknown fields.

    Replies are always sent with all their fields, so the schema of a reply requires those with a default too.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )


Id = UUID
"""A UUIDv7, made by the service that owns the object."""

Timestamp = AwareDatetime
"""A time in UTC, sent as RFC 3339 with `Z`."""


def _require_rfc3339(value: object) -> object:
    """Refuses a number, which pydantic would read as seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and "-" in value[1:]):
        message = "Input should be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return value


InputTimestamp = Annotated[Timestamp, Field(strict=False), BeforeValidator(_require_rfc3339)]
"""A time that a client sends. Not strict: after the validator, pydantic sees a string and no longer JSON."""

SingleLine = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=255)]
"""One line of text without control characters, so that it is safe in a mail header and in a log."""

MultilineText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=20_000)]
"""Text of any number of lines, without NUL, which PostgreSQL cannot store."""

NonEmptyLine = Annotated[SingleLine, StringConstraints(min_length=1, strip_whitespace=True)]
"""One line of text that is not blank."""

Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)]
"""The stock keeping unit: what is counted, priced and sold."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=120)]
"""The readable part of a URL."""

Email = Annotated[
    str,
    StringConstraints(
        pattern=r'^[^@\s\x00-\x1f\x7f<>,;:"\\]+@[^@\s\x00-\x1f\x7f<>,;:"\\]+\.[^@\s\x00-\x1f\x7f<>,;:"\\.]+$',
        max_length=254,
    ),
    Field(json_schema_extra={"format": "email"}),
]
"""One e-mail address without a display name."""

CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""

Quantity = Annotated[int, Field(ge=1, le=999)]
"""Units of one SKU in one line."""

Cursor = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_=-]+$", max_length=1024)]
"""The position where a list continues; opaque to clients."""

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]
"""Sent in clear in a message, but masked in every representation."""


class Empty(Model):
    """A request or a reply without fields."""


class PageParams(Model):
    """Which part of a list to return."""

    limit: Annotated[int, Field(ge=1, le=100, description="The maximum number of items to return.")] = 20
    after: Annotated[Cursor | None, Field(description="The `next` of the previous page.")] = None


class ListPage(Model, Generic[ItemT]):
    """One page of a list."""

    model_config = ConfigDict(json_schema_extra={"description": "One page of a list."})

    items: Annotated[list[ItemT], Field(description="The items of this page.")]
    next: Annotated[
        Cursor | None, Field(description="Pass this as `after` to get the next page; null on the last page.")
    ] = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Returns the schema name that clients see: `OrderList` for a page of orders."""
        return f"{params[0].__name__}List"


def require_exactly_one(model: BaseModel, *fields: str) -> None:
    """Raises ValueError unless exactly one of the fields is set. For use in a model validator."""
    if sum(getattr(model, field) is not None for field in fields) != 1:
        raise ValueError(exactly_one_message(*fields))


def exactly_one_message(*fields: str) -> str:
    """Returns the error text for fields that exclude one another."""
    *others, last = (f"`{field}`" for field in fields)
    return f"Provide exactly one of {', '.join(others)} and {last}."
