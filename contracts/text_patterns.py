"""Formats of text: a pattern for the schema, and the sentence that a client reads when a value does not match.

A pattern itself is never an error text: few people can read one.
"""

from typing import Any, Final

from pydantic import StringConstraints
from pydantic_core import ErrorDetails

UNKNOWN_FORMAT: Final = "This text is not in the required form, or has characters that are not allowed here."
SHA256_HEX: Final = r"^[0-9a-f]{64}$"
SHA256_DETAIL: Final = "Send the 64 hexadecimal digits of a SHA-256 digest, in lower case."
_DETAILS_BY_PATTERN: dict[str, str] = {}
TIME_DETAIL: Final = (
    "Send a time as an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z, or a date, which is its midnight in UTC."
)
_DETAILS_BY_TYPE: Final = {
    **dict.fromkeys(("datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"), TIME_DETAIL),
    "timezone_aware": "Add the time zone: `Z`, or an offset such as `+02:00` (`%2B02:00` in a query).",
}


def text_format(pattern: str, detail: str, **limits: Any) -> StringConstraints:
    """The constraints of a text that matches `pattern`, and the error for one that does not.

    `limits` are the other constraints, such as `max_length`.
    """
    known = _DETAILS_BY_PATTERN.setdefault(pattern, detail)
    assert known == detail, f"{pattern} has two error texts"
    return StringConstraints(pattern=pattern, **limits)


def describe_error(error: ErrorDetails) -> str:
    """What is wrong with a value, for a client. `error` is one of a `ValidationError`, with its context."""
    if error["type"] == "string_pattern_mismatch":
        return _DETAILS_BY_PATTERN.get(error.get("ctx", {}).get("pattern", ""), UNKNOWN_FORMAT)
    return _DETAILS_BY_TYPE.get(error["type"], error["msg"].removeprefix("Value error, "))
