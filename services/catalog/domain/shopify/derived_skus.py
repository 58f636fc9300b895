"""Derives SKUs for variants without a usable one, the same each time for the same handle and options."""

import hashlib
import json
from collections.abc import Sequence

from services.catalog.domain.slugs import slugify

MAX_MADE_SKU_LENGTH = 64
_DIGEST_LENGTH = 10


def derive_sku(handle: str, values: Sequence[str], attempt: int = 0) -> str:
    """The handle and the option values, with a digest at the end where their plain form would lose something.

    It is the same each time for the same handle and values. Another `attempt` makes another SKU.
    """
    parts = [handle, *values]
    slugs = [slugify(part) for part in parts]
    plain = ".".join(slugs)
    lossless = ["-".join(part.lower().split()) for part in parts]
    if not attempt and all(slugs) and slugs == lossless and len(plain) <= MAX_MADE_SKU_LENGTH:
        return plain
    identity = parts if not attempt else [*parts, attempt]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{plain[: MAX_MADE_SKU_LENGTH - _DIGEST_LENGTH - 1].strip('.-') or 'sku'}-{digest}"
