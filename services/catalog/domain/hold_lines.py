"""The lines of a hold: how they are merged and compared, and the errors when they cannot be held."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from uuid import UUID

from contracts.catalog import MAX_ORDER_UNITS, GuestStockLimit, OutOfStock, RequestedLine, SkuUnknown
from contracts.failure import FieldError, InvalidRequest


def fingerprint(lines: Sequence[RequestedLine]) -> bytes:
    """A digest that is equal for equal units, in any order and however the lines are split."""
    units: dict[str, int] = {}
    for line in lines:
        key = f"sku:{line.sku}" if line.sku is not None else f"product:{line.product_id}"
        units[key] = units.get(key, 0) + line.quantity
    return hashlib.sha256(json.dumps(sorted(units.items())).encode()).digest()


def merge_lines(lines: Sequence[RequestedLine], single_skus: Mapping[UUID, str]) -> dict[str, int]:
    """Units by SKU, in the order of the request.

    `single_skus` maps each requested product with exactly one variant on sale to that variant's SKU.
    """
    missing = [
        FieldError(
            pointer=f"/items/{index}", detail="This product is not on sale, or it has several variants: give a `sku`."
        )
        for index, line in enumerate(lines)
        if line.product_id is not None and line.product_id not in single_skus
    ]
    if missing:
        raise SkuUnknown(errors=missing)
    units: dict[str, int] = {}
    for line in lines:
        sku = _sku_of(line, single_skus)
        units[sku] = units.get(sku, 0) + line.quantity
    too_many = [
        FieldError(pointer=f"/items/{index}/quantity", detail=f"Order at most {MAX_ORDER_UNITS} units of one SKU.")
        for index, line in enumerate(lines)
        if units[_sku_of(line, single_skus)] > MAX_ORDER_UNITS
    ]
    if too_many:
        raise InvalidRequest(errors=too_many)
    return units


def unknown_skus_error(
    lines: Sequence[RequestedLine], single_skus: Mapping[UUID, str], skus: Sequence[str]
) -> SkuUnknown:
    """The error for `skus` that are not on sale, with a pointer to each of their lines."""
    return SkuUnknown(
        errors=[
            FieldError(pointer=f"/items/{index}", detail=f"{sku} is not on sale.")
            for index, line in enumerate(lines)
            if (sku := _sku_of(line, single_skus)) in skus
        ]
    )


def out_of_stock_error(
    lines: Sequence[RequestedLine],
    single_skus: Mapping[UUID, str],
    requested: Mapping[str, int],
    available: Mapping[str, int],
) -> OutOfStock:
    """The error for SKUs that are short, with a pointer to the first line of each.

    `requested` has the units of every SKU, `available` those that are left of each SKU that is short.
    """
    details = {sku: f"{requested[sku]} requested, {units} left." for sku, units in available.items()}
    return OutOfStock(errors=_errors_by_line(lines, single_skus, details))


def guest_limit_error(
    lines: Sequence[RequestedLine],
    single_skus: Mapping[UUID, str],
    requested: Mapping[str, int],
    allowed: Mapping[str, int],
) -> GuestStockLimit:
    """The error for SKUs of which guests may hold less, with a pointer to the first line of each.

    `allowed` has the units that the guest may hold of each such SKU.
    """
    details = {
        sku: f"{requested[sku]} requested, at most {units} without an account at the moment."
        for sku, units in allowed.items()
    }
    return GuestStockLimit(
        "A guest's order may hold only a part of the stock. Order less, sign in, or try again later.",
        errors=_errors_by_line(lines, single_skus, details),
    )


def _errors_by_line(
    lines: Sequence[RequestedLine], single_skus: Mapping[UUID, str], details: Mapping[str, str]
) -> list[FieldError]:
    """One error for each SKU that has a detail, with a pointer to its first line."""
    skus = [_sku_of(line, single_skus) for line in lines]
    return [
        FieldError(pointer=f"/items/{index}", detail=details[sku])
        for index, sku in enumerate(skus)
        if sku in details and sku not in skus[:index]
    ]


def _sku_of(line: RequestedLine, single_skus: Mapping[UUID, str]) -> str:
    if line.sku is not None:
        return line.sku
    assert line.product_id is not None, "the contract requires a sku or a product_id"
    return single_skus[line.product_id]
