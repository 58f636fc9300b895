"""Names in URLs, made from what people call things."""

import re
import unicodedata
from uuid import UUID

MAX_SLUG_LENGTH = 120
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_TAIL = 12


def slugify(name: str, default: str = "") -> str:
    """Plain letters and digits of a name, accents left out; `otherwise` when nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return _NOT_PLAIN.sub("-", plain.lower()).strip("-")[:MAX_SLUG_LENGTH].rstrip("-") or default


def make_unique(slug: str, id_: UUID) -> str:
    """Another slug for a thing whose own is taken: with the random end of its id."""
    return f"{slug[: MAX_SLUG_LENGTH - _TAIL - 1].rstrip('-')}-{id_.hex[-_TAIL:]}"
