"""What a text needs to be a SKU that can be stored, shown and named in a path."""

import re

from contracts.model import MAX_SKU_LENGTH, SKU_PATTERN

_SKU = re.compile(SKU_PATTERN)


def find_sku_problem(sku: str) -> str | None:
    """Why a text cannot be a SKU, or None if it can."""
    if len(sku) > MAX_SKU_LENGTH:
        return f"A SKU has at most {MAX_SKU_LENGTH} characters"
    if not _SKU.match(sku):
        return "A SKU has only printable characters"
    if any(part in {".", ".."} for part in sku.split("/")):
        return "A SKU cannot be named in a path when `.` or `..` stands alone in it"
    return None
