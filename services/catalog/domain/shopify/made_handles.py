"""The handle of a product that no file has named and whose slug names another product: it ends with its id."""

import re
from uuid import UUID

ID_DIGITS = 12
_MADE = re.compile(rf"(.+)-([0-9a-f]{{{ID_DIGITS}}})")


def make_handle(slug: str, product_id: UUID) -> str:
    """The slug, and the last digits of the id."""
    return f"{slug}-{product_id.hex[-ID_DIGITS:]}"


def split_handle(handle: str) -> tuple[str, str] | None:
    """The slug and the digits of a handle as `make_handle` makes it, else None."""
    match = _MADE.fullmatch(handle)
    return (match[1], match[2]) if match else None
