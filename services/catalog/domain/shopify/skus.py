"""SKUs for variants that a file gives none: the same for the same product and options, whenever it comes again."""

import hashlib
import json
from collections.abc import Sequence

from services.catalog.domain.slugs import slug_of

LONGEST = 64
_DIGITS = 10


def sku_of(handle: str, values: Sequence[str]) -> str:
    """Handle and option values, told apart by a digest where writing them plainly loses something."""
    parts = [handle, *values]
    slugs = [slug_of(part) for part in parts]
    plain = ".".join(slugs)
    exact = ["-".join(part.lower().split()) for part in parts]
    if all(slugs) and slugs == exact and len(plain) <= LONGEST:
        return plain
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
    return f"{plain[: LONGEST - _DIGITS - 1].strip('.-') or 'sku'}-{digest}"
