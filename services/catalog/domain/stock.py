"""The rules of stock: units on hand never fall below the reserved units, unless the SKU is sold below zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.catalog import MAX_STOCK, AdjustStock, ChangeProduct, StockReserved, VariantInput, VariantInUse
from contracts.failure import FieldError, InvalidRequest


@dataclass(frozen=True, slots=True)
class StockRecord:
    """Units of one SKU. Orders take none where it is not tracked, and more than there are where it has `backorder`."""

    on_hand: int
    reserved: int
    is_foreign: bool = False
    """Whether they are units of another product that had the SKU before."""
    is_tracked: bool = True
    backorder: bool = False

    @property
    def available(self) -> int:
        """Units on hand that are not reserved."""
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class StockChange:
    """What shall become of the stock of a SKU; None stands for what stays as it is."""

    on_hand: int | None = None
    is_tracked: bool | None = None
    backorder: bool | None = None

    @staticmethod
    def from_contract(body: VariantInput | ChangeProduct) -> "StockChange":
        """The change that a request states: `stock` is null for a SKU that is not tracked."""
        is_tracked = body.stock is not None if "stock" in body.model_fields_set else None
        return StockChange(body.stock, is_tracked, body.backorder)

    def apply(self, stock: StockRecord) -> StockRecord:
        """The stock after it. A SKU that comes from another product is tracked again."""
        tracked = stock.is_tracked or stock.is_foreign
        return StockRecord(
            on_hand=stock.on_hand if self.on_hand is None else self.on_hand,
            reserved=stock.reserved,
            is_tracked=tracked if self.is_tracked is None else self.is_tracked,
            backorder=stock.backorder if self.backorder is None else self.backorder,
        )


NO_CHANGE = StockChange()


def adjust_on_hand(stock: StockRecord, body: AdjustStock) -> StockRecord:
    """The stock after an adjustment; raises `StockReserved` if the units would fall below the reserved ones."""
    on_hand = body.set if body.set is not None else stock.on_hand + (body.delta or 0)
    pointer = "/set" if body.delta is None else "/delta"
    if abs(on_hand) > MAX_STOCK:
        detail = f"A SKU has at most {MAX_STOCK} units; this makes {on_hand}."
        raise InvalidRequest(errors=[FieldError(pointer=pointer, detail=detail)])
    after = replace(stock, on_hand=on_hand)
    if problem := find_reserved_problem(stock, after):
        raise StockReserved(errors=[FieldError(pointer=pointer, detail=problem)])
    return after


def plan_levels(
    stock: Mapping[str, StockRecord],
    wanted: Mapping[str, StockChange],
    pointers: Mapping[str, str],
    removed: Sequence[str],
) -> dict[str, StockRecord]:
    """The stock that changes with a product: as `wanted`, and no units of each `removed` SKU.

    Units that a removed SKU lacks stay missing, because an order that is cancelled later returns them. `pointers` has
    the JSON pointer to the stock of each SKU in the request.
    """
    in_use = [sku for sku in removed if stock[sku].reserved]
    if in_use:
        raise VariantInUse(
            errors=[
                FieldError(pointer=pointers.get(sku, "/variants"), detail=f"{sku} is on hold for an order.")
                for sku in in_use
            ]
        )
    after = {sku: wanted.get(sku, NO_CHANGE).apply(record) for sku, record in stock.items() if sku not in removed}
    errors = [
        FieldError(pointer=pointers.get(sku, "/variants"), detail=problem)
        for sku, level in after.items()
        if (problem := find_reserved_problem(stock[sku], level))
    ]
    if errors:
        raise StockReserved(errors=errors)
    after |= {sku: replace(stock[sku], on_hand=min(stock[sku].on_hand, 0)) for sku in removed}
    return {sku: level for sku, level in after.items() if level != stock[sku]}


def find_reserved_problem(before: StockRecord, after: StockRecord) -> str:
    """Why the units on hand may not become so few; empty if they may. More than before are always right."""
    if after.backorder or after.on_hand >= min(after.reserved, before.on_hand):
        return ""
    return f"This would leave {after.on_hand} units, but {after.reserved} are reserved for orders."


def correct_reserved(stock: Mapping[str, StockRecord], held: Mapping[str, int]) -> dict[str, int]:
    """The reserved units to write where they differ from the held units.

    A SKU with fewer units on hand than are held is left out, unless it may have: it has to be counted first.
    """
    return {
        sku: held.get(sku, 0)
        for sku, record in stock.items()
        if record.reserved != held.get(sku, 0)
        and (held.get(sku, 0) <= record.on_hand or record.backorder or not record.is_tracked)
    }
