"""The rules of stock: units on hand never fall below the units that are reserved for orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.catalog import MAX_STOCK, AdjustStock, StockReserved, VariantInUse
from contracts.failure import FieldError, InvalidRequest


@dataclass(frozen=True, slots=True)
class StockRecord:
    """Units of one SKU."""

    on_hand: int
    reserved: int
    is_foreign: bool = False
    """Whether they are units of another product that had the SKU before."""

    @property
    def available(self) -> int:
        """Units that can be ordered."""
        return self.on_hand - self.reserved


def adjust_on_hand(stock: StockRecord, body: AdjustStock) -> int:
    """Units on hand after an adjustment; raises `StockReserved` if they would fall below the reserved units."""
    on_hand = body.set if body.set is not None else stock.on_hand + (body.delta or 0)
    pointer = "/set" if body.delta is None else "/delta"
    if on_hand > MAX_STOCK:
        detail = f"A SKU has at most {MAX_STOCK} units; this makes {on_hand}."
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail=detail)])
    if on_hand < stock.reserved:
        raise StockReserved(errors=[FieldError(pointer=pointer, detail=_reserved_detail(stock, on_hand))])
    return on_hand


def plan_on_hand(
    stock: Mapping[str, StockRecord], wanted: Mapping[str, int], pointers: Mapping[str, str], removed: Sequence[str]
) -> dict[str, int]:
    """Units on hand that change with a product: the `wanted` units, and 0 of each `removed` SKU.

    `pointers` has the JSON pointer to the stock of each SKU in the request.
    """
    in_use = [sku for sku in removed if stock[sku].reserved]
    if in_use:
        raise VariantInUse(
            errors=[
                FieldError(pointer=pointers.get(sku, "/variants"), detail=f"{sku} is on hold for an order.")
                for sku in in_use
            ]
        )
    errors = [
        FieldError(pointer=pointers.get(sku, "/variants"), detail=_reserved_detail(stock[sku], on_hand))
        for sku, on_hand in wanted.items()
        if on_hand < stock[sku].reserved
    ]
    if errors:
        raise StockReserved(errors=errors)
    after = {**wanted, **dict.fromkeys(removed, 0)}
    return {sku: on_hand for sku, on_hand in after.items() if on_hand != stock[sku].on_hand}


def correct_reserved(stock: Mapping[str, StockRecord], held: Mapping[str, int]) -> dict[str, int]:
    """The reserved units to write where they differ from the held units.

    A SKU with fewer units on hand than are held is left out: it has to be counted first.
    """
    return {
        sku: held.get(sku, 0)
        for sku, record in stock.items()
        if record.reserved != held.get(sku, 0) and held.get(sku, 0) <= record.on_hand
    }


def _reserved_detail(stock: StockRecord, on_hand: int) -> str:
    return f"This would leave {on_hand} units, but {stock.reserved} are reserved for orders."
