"""Prices beside those of the variants: price lists, scheduled prices and quantity breaks, and what was in force."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.failure import Fail
from contracts.model import VISIBLE, Id, InputTimestamp, Model, NonEmptyLine, PageParams, SingleLine, Sku, Timestamp
from contracts.money import Money

MAX_PRICES_OF_SKU, MAX_PRICES_OF_LIST = 50, 10_000
"""Prices of one SKU in all lists, and of one list."""
MAX_PRIORITY = 1_000

PRIORITY_TEXT = "The list with the highest priority that prices a SKU counts; of two, the newer one."
STARTS_TEXT, ENDS_TEXT = "From when it applies; null for always.", "Until when, exclusive; null for no end."


class QuantityBreak(Model):
    """The price of each unit from a quantity on."""

    min_quantity: Annotated[int, Field(description="Units of the SKU in one order.")]
    price: Annotated[Money, Field(description="The price of one unit.")]


PRIOR_PRICE_TEXT = (
    "The lowest price of the 30 days before the price was reduced. It is the one to announce a reduction from, if it "
    "is higher than the price."
)
OWN_PRICE_TEXT = (
    "The price without scheduled prices and price lists, where that is another one. PUT and PATCH of a product set "
    "this one. Only administrators see it, and not in lists."
)


class PriceExists(Fail, status=HTTPStatus.CONFLICT, code="price_exists"):
    """Another price of this SKU, list and quantity starts at the same time."""


class PriceListUnknown(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="price_list_unknown"):
    """This price list does not exist."""


class _Period(Model):
    """A time from `starts_at` until before `ends_at`."""

    starts_at: Annotated[InputTimestamp | None, Field(description=STARTS_TEXT)] = None
    ends_at: Annotated[InputTimestamp | None, Field(description=ENDS_TEXT)] = None

    @model_validator(mode="after")
    def _require_some_time(self) -> "_Period":
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            message = "`ends_at` must be later than `starts_at`."
            raise ValueError(message)
        return self


class PriceListFields(_Period):
    """A list of prices that apply to all shoppers while the list does."""

    name: Annotated[
        NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="The name that merchants see.")
    ]
    priority: Annotated[int, Field(ge=1, le=MAX_PRIORITY, description=PRIORITY_TEXT)] = 1


class PriceList(Model):
    """A list of prices that apply to all shoppers while the list does."""

    id: Id
    name: Annotated[SingleLine, Field(description="The name that merchants see.")]
    priority: Annotated[int, Field(description=PRIORITY_TEXT)]
    starts_at: Annotated[Timestamp | None, Field(description=STARTS_TEXT)]
    ends_at: Annotated[Timestamp | None, Field(description=ENDS_TEXT)]


class ReplacePriceList(PriceListFields):
    """The new fields of a price list; its prices stay."""

    id: Id


class PriceListRef(Model):
    """Names a price list."""

    id: Id


class CreatePrice(_Period):
    """A price of a SKU beside its own: of a price list, at a time, or from a quantity on.

    It applies while its list does, too. Of several prices of one list that apply, the one for the largest quantity
    counts, then the one that has started last.
    """

    id: Annotated[Id, Field(description="The product's id.")]
    sku: Sku
    list_id: Annotated[Id | None, Field(description="The price list it belongs to; null for none.")] = None
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")] = None
    min_quantity: Annotated[int, Field(ge=1, le=999, description="The units from which it applies to each unit.")] = 1

    @model_validator(mode="after")
    def _require_difference(self) -> "CreatePrice":
        if self.list_id is None and self.starts_at is None and self.ends_at is None and self.min_quantity == 1:
            message = "Without a list, times or a `min_quantity` this is the variant's own price: set it there."
            raise ValueError(message)
        return self


class ScheduledPrice(Model):
    """A price of a SKU beside its own."""

    id: Id
    product_id: Annotated[Id, Field(description="The product's id.")]
    sku: Sku
    list_id: Annotated[Id | None, Field(description="The price list it belongs to; null for none.")]
    price: Annotated[Money, Field(description="The price of one unit.")]
    compare_at_price: Annotated[Money | None, Field(description="A former or list price, shown struck through.")]
    min_quantity: Annotated[int, Field(description="The units from which it applies to each unit.")]
    starts_at: Annotated[Timestamp | None, Field(description=STARTS_TEXT)]
    ends_at: Annotated[Timestamp | None, Field(description=ENDS_TEXT)]


class ListPrices(PageParams):
    """Names the product whose prices to list."""

    id: Annotated[Id, Field(description="The product's id.")]


class PriceRef(Model):
    """Names a price of a product."""

    id: Annotated[Id, Field(description="The product's id.")]
    price_id: Annotated[Id, Field(description="The price's id.")]


class PriceHistoryEntry(Model):
    """A price of one unit of a SKU that was in force, or was planned to be, from `starts_at` on.

    A later `recorded_at` of the same SKU replaces what has not come by then.
    """

    sku: Sku
    price: Annotated[Money | None, Field(description="The price; null while the SKU was not on sale.")]
    list_id: Annotated[Id | None, Field(description="The price list it came from.")]
    starts_at: Annotated[Timestamp, Field(description="From when it was in force.")]
    recorded_at: Annotated[Timestamp, Field(description="When that was decided.")]
