"""SKUs for variants that a file gives none: the same for the same product and options, whenever it comes again."""

import hashlib
import json
from collections.abc import Sequence

from services.catalog.domain.slugs import slugify

MAX_SKU_LENGTH = 64
_DIGITS = 10


def derive_sku(handle: str, values: Sequence[str]) -> str:
    """Handle and option values, told apart by a digest where writing them plainly loses something."""
    parts = [handle, *values]
    slugs = [slugify(part) for part in parts]
    plain = ".".join(slugs)
    exact = ["-".join(part.lower().split()) for part in parts]
    if all(slugs) and slugs == exact and len(plain) <= MAX_SKU_LENGTH:
        return plain
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
    return f"{plain[: MAX_SKU_LENGTH - _DIGITS - 1].strip('.-') or 'sku'}-{digest}"
