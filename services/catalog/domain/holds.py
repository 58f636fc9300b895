"""The lines of a hold: merged, told apart from another hold's, and what is said when they cannot be had."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.catalog import OutOfStock, RequestedLine, SkuUnknown
from contracts.failure import FieldError, InvalidRequest

MAX_UNITS_PER_SKU = 999
"""Of one SKU in one hold, as of any line."""


def fingerprint(lines: Sequence[RequestedLine]) -> bytes:
    """The same for the same lines, in whatever order and however they are split up."""
    asked: dict[str, int] = {}
    for line in lines:
        name = f"sku:{line.sku}" if line.sku is not None else f"product:{line.product_id}"
        asked[name] = asked.get(name, 0) + line.quantity
    return hashlib.sha256(json.dumps(sorted(asked.items())).encode()).digest()


def merge_lines(lines: Sequence[RequestedLine], single_skus: Mapping[UUID, str]) -> dict[str, int]:
    """Units by SKU, in the order first asked for; `single` has the SKU of each product that has one variant."""
    missing = [
        FieldError(pointer=f"/items/{index}", detail="this product is not on sale, or has several variants")
        for index, line in enumerate(lines)
        if line.product_id is not None and line.product_id not in single_skus
    ]
    if missing:
        raise SkuUnknown(errors=missing)
    asked: dict[str, int] = {}
    for line in lines:
        sku = _sku(line, single_skus)
        asked[sku] = asked.get(sku, 0) + line.quantity
    many = [
        FieldError(pointer=f"/items/{index}/quantity", detail=f"at most {MAX_UNITS_PER_SKU} of one SKU")
        for index, line in enumerate(lines)
        if asked[_sku(line, single_skus)] > MAX_UNITS_PER_SKU
    ]
    if many:
        raise InvalidRequest(errors=many)
    return asked


def unknown_skus_error(
    lines: Sequence[RequestedLine], single_skus: Mapping[UUID, str], skus: Sequence[str]
) -> SkuUnknown:
    return SkuUnknown(
        errors=[
            FieldError(pointer=f"/items/{index}", detail=f"{sku} is not on sale")
            for index, line in enumerate(lines)
            if (sku := _sku(line, single_skus)) in skus
        ]
    )


def out_of_stock_error(
    lines: Sequence[RequestedLine],
    single_skus: Mapping[UUID, str],
    requested: Mapping[str, int],
    available: Mapping[str, int],
) -> OutOfStock:
    """Names the first line of each SKU that there is not enough of."""
    named = [_sku(line, single_skus) for line in lines]
    return OutOfStock(
        errors=[
            FieldError(pointer=f"/items/{index}", detail=f"{requested[sku]} asked, {available[sku]} left")
            for index, sku in enumerate(named)
            if sku in available and sku not in named[:index]
        ]
    )


def _sku(line: RequestedLine, single: Mapping[UUID, str]) -> str:
    if line.sku is not None:
        return line.sku
    assert line.product_id is not None, "the contract asks for either"
    return single[line.product_id]
