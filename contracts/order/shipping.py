"""Shipping: zones of places, and the methods that ship to them, with their prices."""

from collections.abc import Iterable
from enum import StrEnum
from http import HTTPStatus
from itertools import pairwise
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.failure import Fail
from contracts.model import VISIBLE, Id, Model, NonEmptyLine, SingleLine, Slug
from contracts.money import MAX_AMOUNT, Money
from contracts.order.addresses import AssignedCountry
from contracts.order.taxes import OptionalPostalPrefix, OptionalRegion

STANDARD_SHIPPING = "standard"
"""The method of an order that names none: the one with this code, else the cheapest."""
NO_SHIPPING = "none"
"""In place of the method of an order in which nothing is shipped."""


class NotDeliverable(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="not_deliverable"):
    """The shop does not ship to this address."""


class ShippingPlaceTaken(Fail, status=HTTPStatus.CONFLICT, code="shipping_place_taken"):
    """A place belongs to another shipping zone."""


class ShippingMethodKind(StrEnum):
    """What the price of a shipping method depends on."""

    FLAT = "flat"
    """One price for each currency."""
    SUBTOTAL = "subtotal"
    """A price for each band of the order's subtotal."""
    WEIGHT = "weight"
    """A price for each band of the order's weight."""


ShippingMethodCode = Annotated[Slug, StringConstraints(max_length=40)]


class ShippingPlace(Model):
    """Addresses of a country, with a region or a postal prefix of part of it; without a country, all other places."""

    country: Annotated[
        AssignedCountry | None, Field(description="ISO 3166-1 alpha-2 code; null for all places of no other zone.")
    ] = None
    region: OptionalRegion = None
    postal_prefix: OptionalPostalPrefix = None

    @model_validator(mode="after")
    def _require_country_of_part(self) -> "ShippingPlace":
        if self.country is None and (self.region is not None or self.postal_prefix is not None):
            message = "A region or postal prefix needs its `country`."
            raise ValueError(message)
        return self


class ShippingBand(Model):
    """The price of shipping for subtotals or weights of at least `from` and below `to`.

    Subtotals are in minor units of the price's currency, weights in grams.
    """

    from_: Annotated[
        int, Field(alias="from", ge=0, le=MAX_AMOUNT, description="The lowest subtotal, or the lowest weight in grams.")
    ] = 0
    to: Annotated[
        int | None, Field(ge=1, le=MAX_AMOUNT, description="The first one that is too high; null for no limit.")
    ] = None
    price: Annotated[Money, Field(description="The price of shipping.")]

    def contains(self, measure: int) -> bool:
        """Whether the band has the price for this subtotal or weight."""
        return self.from_ <= measure and (self.to is None or measure < self.to)


class ShippingMethod(Model):
    """A way to ship. In a currency without a price, or outside all bands, it is not offered.

    An order weighs as much as its shipped goods together; those without a weight count as 0 grams.
    """

    code: Annotated[ShippingMethodCode, Field(description="Names it in orders.", examples=["express"])]
    name: Annotated[
        NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="The name that shoppers see.")
    ]
    kind: ShippingMethodKind = ShippingMethodKind.FLAT
    prices: Annotated[
        list[ShippingBand], Field(min_length=1, max_length=100, description="A `flat` method has one per currency.")
    ]
    free_over: Annotated[
        list[Money],
        Field(max_length=20, description="Subtotals, one per currency, from which shipping is free."),
    ] = []
    delivery_days: Annotated[int | None, Field(ge=0, le=365, description="Days until the delivery.")] = None
    active: Annotated[bool, Field(description="Whether it is offered.")] = True

    @model_validator(mode="after")
    def _require_one_price_per_measure(self) -> "ShippingMethod":
        for band in self.prices:
            if band.to is not None and band.to <= band.from_:
                message = "The `to` of a price must be above its `from`."
                raise ValueError(message)
            if self.kind is ShippingMethodKind.FLAT and (band.from_ or band.to is not None):
                message = "The price of a `flat` method has no bands; send the kind `subtotal` or `weight` for them."
                raise ValueError(message)
        in_order = sorted(self.prices, key=lambda band: (band.price.currency, band.from_))
        for lower, upper in pairwise(in_order):
            same_currency = lower.price.currency == upper.price.currency
            if same_currency and (lower.to is None or lower.to > upper.from_):
                message = "Two `prices` in one currency overlap."
                raise ValueError(message)
        if has_duplicates(money.currency for money in self.free_over):
            message = "Send one `free_over` per currency."
            raise ValueError(message)
        return self


def has_duplicates(values: Iterable[str]) -> bool:
    """Whether a value occurs twice."""
    found = list(values)
    return len(set(found)) < len(found)


class ShippingZoneFields(Model):
    """Places, and the methods that ship to them. An address belongs to the zone with its most specific place.

    A shop without zones ships everywhere for free; a shop with zones ships to their places only.
    """

    name: Annotated[
        NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="The name for administrators.")
    ]
    places: Annotated[list[ShippingPlace], Field(min_length=1, max_length=1000, description="Where it ships to.")]
    methods: Annotated[list[ShippingMethod], Field(max_length=20, description="How it ships there.")]

    @model_validator(mode="after")
    def _require_distinct_methods(self) -> "ShippingZoneFields":
        if has_duplicates(method.code for method in self.methods):
            message = "Two `methods` of the zone have the same `code`."
            raise ValueError(message)
        return self


class ShippingZone(Model):
    """Places, and the methods that ship to them."""

    id: Id
    name: Annotated[SingleLine, Field(description="The name for administrators.")]
    places: Annotated[list[ShippingPlace], Field(description="Where it ships to.")]
    methods: Annotated[list[ShippingMethod], Field(description="How it ships there.")]


class ReplaceShippingZone(ShippingZoneFields):
    """The new fields of a shipping zone."""

    id: Id


class ShippingZoneRef(Model):
    """Names a shipping zone."""

    id: Id
