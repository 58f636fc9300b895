"""Stock: the units of each SKU that are on hand and those that holds reserve for orders."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.catalog.price_lists import QuantityBreak
from contracts.catalog.types import MAX_STOCK, SERVICE, Attributes, StockUnits
from contracts.event import Event
from contracts.failure import Fail
from contracts.model import (
    VISIBLE,
    Id,
    Model,
    NonEmptyLine,
    PageParams,
    Quantity,
    SingleLine,
    Sku,
    Timestamp,
    require_exactly_one,
)
from contracts.money import CurrencyCode, Money
from contracts.tax_category import DEFAULT_TAX_CATEGORY, TaxCategory


class OutOfStock(Fail, status=HTTPStatus.CONFLICT, code="out_of_stock"):
    """Not enough units are available; nothing was held."""


class StockReserved(Fail, status=HTTPStatus.CONFLICT, code="stock_reserved"):
    """Stock cannot fall below the units reserved for orders."""


class HoldMismatch(Fail, status=HTTPStatus.CONFLICT, code="hold_mismatch"):
    """A hold with this id exists with different lines."""


class GuestStockLimit(Fail, status=HTTPStatus.CONFLICT, code="guest_stock_limit"):
    """An order without an account may hold only a part of the stock; nothing was held."""


class StockLevel(Model):
    """The units of one SKU."""

    sku: Sku
    on_hand: Annotated[int, Field(description="Units in the warehouse; negative where more were sold on backorder.")]
    reserved: Annotated[int, Field(description="Units held for orders.")]
    available: Annotated[int, Field(description="Units on hand that are not held; negative where some are missing.")]
    tracked: Annotated[
        bool, Field(description="Whether orders take units; without that, the SKU can always be ordered.")
    ] = True
    backorder: Annotated[bool, Field(description="Whether it can be ordered when no unit is left.")] = False


class SkuRef(Model):
    """Names a SKU."""

    sku: Sku


class ListStock(PageParams):
    """Filters of a list of stock levels."""

    below: Annotated[
        int | None, Field(ge=0, le=MAX_STOCK, description="Only tracked SKUs with fewer units available.")
    ] = None


class AdjustStock(Model):
    """A change of stock: either by `delta`, or to the value of `set`."""

    sku: Sku
    delta: Annotated[
        int | None, Field(ge=-MAX_STOCK, le=MAX_STOCK, description="Units to add; negative to remove.")
    ] = None
    set: Annotated[StockUnits | None, Field(description="The new number of units on hand.")] = None
    reason: Annotated[
        NonEmptyLine,
        StringConstraints(max_length=200),
        VISIBLE,
        Field(description="Why the stock changes, for the records."),
    ]

    @model_validator(mode="after")
    def _require_delta_or_set(self) -> "AdjustStock":
        require_exactly_one(self, "delta", "set")
        return self


class StockMovementKind(StrEnum):
    """What moves stock."""

    ADJUSTED = "adjusted"
    SOLD = "sold"
    RETURNED = "returned"


class ListStockMovements(PageParams):
    """Names the SKU whose movements to list."""

    sku: Sku


class StockMovement(Model):
    """A change of the units on hand of a SKU."""

    kind: StockMovementKind
    quantity: Annotated[int, Field(description="Units that were added; negative if they were taken.")]
    on_hand: Annotated[int, Field(description="Units on hand after it.")]
    reason: Annotated[SingleLine | None, Field(description="Why stock was adjusted.")]
    user_id: Annotated[Id | None, Field(description="The account that adjusted it.")]
    order_id: Annotated[Id | None, Field(description="The order that was sold or returned.")]
    at: Annotated[Timestamp, Field(description="When it happened.")]


class QuoteRequest(Model):
    """Asks for the current price and availability of these SKUs."""

    skus: Annotated[list[Sku], Field(max_length=200)]


class SkuQuote(Model):
    """The current price and availability of one SKU."""

    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    unit_price: Money
    available: int
    in_stock: Annotated[int | None, Field(description="Units in stock, if more than these can be ordered.")] = None
    price_breaks: Annotated[list[QuantityBreak], Field(description="Prices of larger quantities.")] = []
    valid_seconds: Annotated[float | None, Field(description="How long its prices last, if they change.")] = None

    def price_of(self, quantity: int) -> Money:
        """Returns the price of each of so many units."""
        reached = [one.price for one in self.price_breaks if one.min_quantity <= quantity]
        return reached[-1] if reached else self.unit_price


class SkuQuoteList(Model):
    """Quotes of the SKUs that are on sale; the others are left out."""

    items: list[SkuQuote]


class RequestedLine(Model):
    """Units of a SKU, or of a product that has only one variant."""

    sku: Annotated[Sku | None, Field(description="The SKU, unless a `product_id` is given.")] = None
    product_id: Annotated[Id | None, Field(description="A product with one variant, unless a `sku` is given.")] = None
    quantity: Annotated[Quantity, Field(description="Units to order.")]

    @model_validator(mode="after")
    def _require_sku_or_product(self) -> "RequestedLine":
        require_exactly_one(self, "sku", "product_id")
        return self


class GuestHoldLimit(Model):
    """What a guest's hold may take: shares of each SKU's units on hand, rounded up, and five units in any case."""

    order_share: Annotated[float, Field(gt=0, le=1, description="What this hold may take.")]
    total_share: Annotated[float, Field(gt=0, le=1, description="What all holds of guests may take together.")]


class PlaceHold(Model):
    """Prices and reserves all lines or none. The same `hold_id` with the same lines returns the same hold again."""

    hold_id: Id
    lines: Annotated[list[RequestedLine], Field(min_length=1, max_length=100)]
    seconds: Annotated[int, Field(ge=1, le=7 * 86_400, description="How long the hold lasts, in seconds.")]
    guest_limit: Annotated[GuestHoldLimit | None, Field(description="Set if the order is a guest's.")] = None


class HeldLine(Model):
    """One line of a hold, at its price. Holds of an older release do not state how a line is taxed and shipped."""

    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    quantity: Quantity
    unit_price: Money
    tax_category: TaxCategory = DEFAULT_TAX_CATEGORY
    requires_shipping: bool = True
    weight_grams: Annotated[int | None, Field(ge=0, description="Weight of one unit; null if it is unknown.")] = None


class Hold(Model):
    """Units reserved for an order until the hold expires."""

    hold_id: Id
    lines: list[HeldLine]
    currency: CurrencyCode
    expires_at: Timestamp
    seconds_left: Annotated[
        float | None, Field(description="Seconds until it expires, by the clock of the service that ends it.")
    ] = None


class HoldRef(Model):
    """Names a hold."""

    hold_id: Id


class StockAdjusted(Event, service=SERVICE, name="stock_adjusted", key="product_id"):
    """Stock was counted, received or written off. Single holds and sales publish no event."""

    product_id: Id
    sku: Sku
    on_hand: int
    reserved: int


class StockLow(Event, service=SERVICE, name="stock_low", key="product_id"):
    """Few units of a tracked SKU are left, after there were more than the shop's threshold."""

    product_id: Id
    sku: Sku
    available: Annotated[int, Field(description="Units on hand that are not held.")]
    threshold: int


class HoldLost(Event, service=SERVICE, name="hold_lost", key="hold_id"):
    """A hold expired before its order was paid, and its stock is on sale again."""

    hold_id: Id
    order_id: Id | None
