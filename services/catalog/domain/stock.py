"""What stock may become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.catalog import MAX_STOCK, AdjustStock, StockReserved, VariantInUse
from contracts.failure import FieldError, InvalidRequest


@dataclass(frozen=True, slots=True)
class StockRecord:
    """Units of one SKU."""

    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


def adjust_on_hand(level: StockRecord, body: AdjustStock) -> int:
    """Units on hand after an adjustment; what is reserved for orders stays."""
    on_hand = body.set if body.set is not None else level.on_hand + (body.delta or 0)
    pointer = "/set" if body.delta is None else "/delta"
    if on_hand > MAX_STOCK:
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail=f"makes more than {MAX_STOCK} units")])
    if on_hand < level.reserved:
        raise StockReserved(errors=[FieldError(pointer=pointer, detail=_short(level, on_hand))])
    return on_hand


def plan_on_hand(
    stock: Mapping[str, StockRecord], wanted: Mapping[str, int], pointers: Mapping[str, str], removed: Sequence[str]
) -> dict[str, int]:
    """Units on hand that change with a product: `wanted` as said, nothing of what is `gone`."""
    held = [sku for sku in removed if stock[sku].reserved]
    if held:
        raise VariantInUse(
            errors=[FieldError(pointer="/variants", detail=f"{sku} is on hold for an order") for sku in held]
        )
    errors = [
        FieldError(pointer=pointers.get(sku, "/variants"), detail=_short(stock[sku], on_hand))
        for sku, on_hand in wanted.items()
        if on_hand < stock[sku].reserved
    ]
    if errors:
        raise StockReserved(errors=errors)
    after = {**wanted, **dict.fromkeys(removed, 0)}
    return {sku: on_hand for sku, on_hand in after.items() if on_hand != stock[sku].on_hand}


def correct_reserved(stock: Mapping[str, StockRecord], held: Mapping[str, int]) -> dict[str, int]:
    """Units to be reserved where they are not as many as holds have; not where there are not so many on hand."""
    return {
        sku: held.get(sku, 0)
        for sku, level in stock.items()
        if level.reserved != held.get(sku, 0) and held.get(sku, 0) <= level.on_hand
    }


def _short(level: StockRecord, on_hand: int) -> str:
    return f"would leave {on_hand}, and {level.reserved} are reserved"
