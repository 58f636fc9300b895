"""The base model and the types that all messages are made of."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
)

from contracts.email_addresses import MAX_EMAIL_LENGTH, clean_email, find_email_problem
from contracts.text_patterns import TIME_DETAIL, text_format
from contracts.visible_text import is_visible

__all__ = [
    "VISIBLE",
    "CountryCode",
    "Cursor",
    "Email",
    "Id",
    "InputTimestamp",
    "ListPage",
    "Model",
    "MultilineText",
    "PageCursor",
    "PageParams",
    "Quantity",
    "Secret",
    "SingleLine",
    "Sku",
    "Slug",
    "StoredEmail",
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


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BLANK_OFFSET = re.compile(r"([0-9-]{10}[Tt ][0-9:.]{5,}) ([0-9]{2}:?[0-9]{2})")


def _read_timestamp(value: object) -> object:
    """Completes a date, and an offset whose plus sign a query did not escape, so that it became a space. Refuses a
    number, which pydantic would read as seconds since 1970.
    """
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or "-" not in value[1:]:
        raise ValueError(TIME_DETAIL)
    if _DATE.fullmatch(value):
        return f"{value}T00:00:00Z"
    if match := _BLANK_OFFSET.fullmatch(value):
        return f"{match[1]}+{match[2]}"
    return value


def _require_utc_range(value: datetime) -> datetime:
    """Refuses a time that is no time in UTC, because it is before the year 1 or after 9999 there."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        message = "Send a time between the years 1 and 9999 in UTC."
        raise ValueError(message) from None
    return value


InputTimestamp = Annotated[
    Timestamp, Field(strict=False), BeforeValidator(_read_timestamp), AfterValidator(_require_utc_range)
]
"""A time that a client sends. Not strict: after the validator, pydantic sees a string and no longer JSON."""

LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
LINE_DETAIL = "Send one line of text without control characters."

SingleLine = Annotated[str, text_format(LINE_PATTERN, LINE_DETAIL, max_length=255)]
"""One line of text without control characters, so that it is safe in a mail header and in a log."""

MultilineText = Annotated[
    str, text_format(r"^[^\x00]*$", "Send text without the NUL character (U+0000).", max_length=20_000)
]
"""Text of any number of lines, without NUL, which PostgreSQL cannot store."""

NonEmptyLine = Annotated[SingleLine, StringConstraints(min_length=1, strip_whitespace=True)]
"""One line of text that is not blank."""


def _require_visible(text: str) -> str:
    if not is_visible(text):
        message = "Send at least one visible character."
        raise ValueError(message)
    return text


VISIBLE = AfterValidator(_require_visible)
"""For a line that a request names something by. Older rows may hold invisible characters alone."""

SKU_PATTERN = (
    r"^[^\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]"
    r"([^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]*"
    r"[^\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff])?$"
)
"""Printable characters, blanks only between others. Control characters and invisible ones are not printable."""

MAX_SKU_LENGTH = 255

Sku = Annotated[
    str,
    text_format(
        SKU_PATTERN, "Send a SKU of printable characters, without a space at either end.", max_length=MAX_SKU_LENGTH
    ),
]
"""The stock keeping unit: what is counted, priced and sold. In a path it is percent-encoded."""

Slug = Annotated[
    str,
    text_format(
        r"^[a-z0-9]+(-[a-z0-9]+)*$",
        "Send lower-case letters, digits and single hyphens between them, such as `brass-lamp`.",
        max_length=120,
    ),
]
"""The readable part of a URL."""

StoredEmail = Annotated[
    str,
    text_format(
        r'^[^@\s\x00-\x1f\x7f<>,;:"\\]+@[^@\s\x00-\x1f\x7f<>,;:"\\]+\.[^@\s\x00-\x1f\x7f<>,;:"\\.]+$',
        "Send one e-mail address, such as name@example.com.",
        max_length=MAX_EMAIL_LENGTH,
    ),
    Field(json_schema_extra={"format": "email"}),
]
"""One e-mail address without a display name, as a reply holds it. Older rows may hold one that cannot be mailed."""


def _clean_mailable(email: str) -> str:
    cleaned = clean_email(email)
    if problem := find_email_problem(cleaned):
        raise ValueError(problem)
    return cleaned


Email = Annotated[StoredEmail, AfterValidator(_clean_mailable)]
"""One e-mail address that mail can be sent to, as a request or a setting gives it.

Wide letters become plain ones, and invisible characters are removed.
"""

CountryCode = Annotated[
    str, text_format(r"^[A-Z]{2}$", "Send the two capital letters of a country's ISO 3166 code, such as `DE`.")
]
"""ISO 3166-1 alpha-2."""

Quantity = Annotated[int, Field(ge=1, le=999)]
"""Units of one SKU in one line."""

CURSOR_PATTERN = r"^[A-Za-z0-9_=-]+$"
Cursor = Annotated[
    str, text_format(CURSOR_PATTERN, "Send the `next` of the previous page, unchanged.", max_length=2048)
]
"""The position where a list continues; opaque to clients."""

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]
"""Sent in clear in a message, but masked in every representation."""


class Empty(Model):
    """A request or a reply without fields."""


def _read_cursor(value: object) -> object:
    """An empty cursor is the first page: forms and templates send the parameter without a value."""
    return None if value == "" else value


PageCursor = Annotated[Cursor | None, BeforeValidator(_read_cursor)]
"""The cursor of a request. Empty means the first page."""


class PageParams(Model):
    """Which part of a list to return."""

    limit: Annotated[int, Field(ge=1, le=100, description="The maximum number of items to return.")] = 20
    after: Annotated[PageCursor, Field(description="The `next` of the previous page.")] = None


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
