"""Units of each SKU: on hand, set aside by holds, adjusted."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.catalog.types import MAX_STOCK, SERVICE, Attributes, StockUnits
from contracts.event import Event
from contracts.failure import Fail
from contracts.model import Id, Model, NonEmptyLine, PageParams, Quantity, SingleLine, Sku, Timestamp
from contracts.money import CurrencyCode, Money


class OutOfStock(Fail, status=HTTPStatus.CONFLICT):
    """There is not enough left; nothing was held."""


class StockReserved(Fail, status=HTTPStatus.CONFLICT):
    """Stock cannot go below what is reserved for orders."""


class HoldMismatch(Fail, status=HTTPStatus.CONFLICT):
    """The hold exists with other lines."""


class StockLevel(Model):
    sku: Sku
    on_hand: int
    reserved: int
    available: int


class SkuRef(Model):
    sku: Sku


class ListStock(PageParams):
    below: Annotated[int | None, Field(ge=0, le=MAX_STOCK, description="Only SKUs with fewer available.")] = None


class AdjustStock(Model):
    """Either `delta` or `set`."""

    sku: Sku
    delta: Annotated[int | None, Field(ge=-MAX_STOCK, le=MAX_STOCK)] = None
    set: StockUnits | None = None
    reason: Annotated[NonEmptyLine, StringConstraints(max_length=200)]

    @model_validator(mode="after")
    def _require_delta_or_set(self) -> "AdjustStock":
        if (self.delta is None) == (self.set is None):
            message = "says either delta or set"
            raise ValueError(message)
        return self


class QuoteRequest(Model):
    skus: Annotated[list[Sku], Field(max_length=200)]


class SkuQuote(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    unit_price: Money
    available: int


class SkuQuoteList(Model):
    """What is known of the SKUs now; one that is not on sale is not in the list."""

    items: list[SkuQuote]


class RequestedLine(Model):
    """Names a SKU, or a product that has one variant."""

    sku: Sku | None = None
    product_id: Id | None = None
    quantity: Quantity

    @model_validator(mode="after")
    def _require_sku_or_product(self) -> "RequestedLine":
        if (self.sku is None) == (self.product_id is None):
            message = "names either a sku or a product_id"
            raise ValueError(message)
        return self


class PlaceHold(Model):
    """Prices and sets aside every line or none. The same `hold_id` with the same lines answers the same again."""

    hold_id: Id
    lines: Annotated[list[RequestedLine], Field(min_length=1, max_length=100)]
    seconds: Annotated[int, Field(ge=1, le=7 * 86_400, description="How long the hold lasts.")]


class HeldLine(Model):
    sku: Sku
    product_id: Id
    name: SingleLine
    options: Attributes
    quantity: Quantity
    unit_price: Money


class Hold(Model):
    hold_id: Id
    lines: list[HeldLine]
    currency: CurrencyCode
    expires_at: Timestamp
    seconds_left: Annotated[
        float | None, Field(description="Until it expires, by the clock that ends it: no other clock needs to agree.")
    ] = None


class HoldRef(Model):
    hold_id: Id


class StockAdjusted(Event, service=SERVICE, name="stock_adjusted", key="product_id"):
    """Stock was counted, came in or was written off. Holds and sales are not told one by one."""

    product_id: Id
    sku: Sku
    on_hand: int
    reserved: int


class HoldLost(Event, service=SERVICE, name="hold_lost", key="hold_id"):
    """A hold ran out before its order was paid, and its stock went back on sale."""

    hold_id: Id
    order_id: Id | None
