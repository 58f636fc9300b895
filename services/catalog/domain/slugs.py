"""Names in URLs, made from what people call things."""

import re
import unicodedata
from uuid import UUID

LONGEST = 120
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_TAIL = 12


def slug_of(name: str, otherwise: str = "") -> str:
    """Plain letters and digits of a name, accents left out; `otherwise` when nothing is left of it."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return _NOT_PLAIN.sub("-", plain.lower()).strip("-")[:LONGEST].rstrip("-") or otherwise


def told_apart(slug: str, thing: UUID) -> str:
    """Another slug for a thing whose own is taken: with the random end of its id."""
    return f"{slug[: LONGEST - _TAIL - 1].rstrip('-')}-{thing.hex[-_TAIL:]}"
