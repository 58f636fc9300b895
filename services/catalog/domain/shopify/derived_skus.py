"""Derives SKUs for variants without one, the same each time for the same handle and options."""

import hashlib
import json
from collections.abc import Sequence

from services.catalog.domain.slugs import slugify

MAX_SKU_LENGTH = 64
_DIGEST_LENGTH = 10


def derive_sku(handle: str, values: Sequence[str]) -> str:
    """The handle and the option values, with a digest at the end where their plain form would lose something."""
    parts = [handle, *values]
    slugs = [slugify(part) for part in parts]
    plain = ".".join(slugs)
    lossless = ["-".join(part.lower().split()) for part in parts]
    if all(slugs) and slugs == lossless and len(plain) <= MAX_SKU_LENGTH:
        return plain
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{plain[: MAX_SKU_LENGTH - _DIGEST_LENGTH - 1].strip('.-') or 'sku'}-{digest}"
