"""Makes slugs, the names in URLs, from the names of products and categories."""

import re
import unicodedata
from uuid import UUID

MAX_SLUG_LENGTH = 120
RESERVED_SLUGS = frozenset({"search", "suggest", "import", "export"})
"""Words that stand in the place of a product's slug in a path."""
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_SUFFIX_LENGTH = 12


def slugify(name: str, default: str = "") -> str:
    """The plain letters and digits of a name, without accents; `default` when none are left."""
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return _SEPARATORS.sub("-", plain.lower()).strip("-")[:MAX_SLUG_LENGTH].rstrip("-") or default


def make_unique(slug: str, id_: UUID) -> str:
    """Another slug for a product or category whose own is taken: it ends with the random end of its id."""
    return f"{slug[: MAX_SLUG_LENGTH - _SUFFIX_LENGTH - 1].rstrip('-')}-{id_.hex[-_SUFFIX_LENGTH:]}"


def propose_slug(name: str, product_id: UUID) -> str:
    """A slug for a product, from its name or handle. Another product may have it."""
    slug = slugify(name, "product")
    return make_unique(slug, product_id) if slug in RESERVED_SLUGS else slug
