"""Taxes: the rates that a merchant charges, the shop's settings for them, and the tax lines of an order."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.failure import Fail
from contracts.model import VISIBLE, CountryCode, Id, InputTimestamp, Model, NonEmptyLine, SingleLine, Timestamp
from contracts.money import Money
from contracts.order.addresses import AssignedCountry
from contracts.tax_category import DEFAULT_TAX_CATEGORY, TaxCategory
from contracts.text_patterns import text_format

PPM = 1_000_000
"""Rates are in parts per million: 19 % is 190,000 and 8.875 % is 88,750."""


class TaxRateOverlaps(Fail, status=HTTPStatus.CONFLICT, code="tax_rate_overlaps"):
    """Another rate of this category, place and priority is valid at the same time."""


class TaxReason(StrEnum):
    """Why a rate applies. A rate of zero needs a reason on the invoice."""

    STANDARD = "standard"
    REDUCED = "reduced"
    ZERO_RATED = "zero_rated"
    REVERSE_CHARGE = "reverse_charge"
    EXPORT = "export"
    EXEMPT = "exempt"
    NOT_COLLECTING = "not_collecting"


TAXED_REASONS = frozenset({TaxReason.STANDARD, TaxReason.REDUCED})
"""The reasons of a rate above zero; the others are those of a rate of zero."""

PostalPrefix = Annotated[
    str,
    text_format(
        r"^[A-Za-z0-9]([A-Za-z0-9 -]*[A-Za-z0-9])?$",
        "Send the beginning of a postal code: letters, digits, spaces and hyphens.",
        max_length=20,
    ),
]
OptionalPostalPrefix = Annotated[
    PostalPrefix | None,
    Field(description="The beginning of the postal codes, such as `331`; spaces, hyphens and case do not matter."),
]
OptionalRegion = Annotated[
    Annotated[NonEmptyLine, StringConstraints(max_length=100), VISIBLE] | None,
    Field(description="State, province or county, as addresses have it; case does not matter."),
]
RatePpm = Annotated[int, Field(ge=0, le=PPM, description="Parts per million: 190000 is 19 %.", examples=[190_000])]


class TaxLine(Model):
    """The tax of one rate on goods or shipping. `base` is the amount without this tax that the rate applies to."""

    name: Annotated[SingleLine, Field(description="The name of the tax, as an invoice shows it.")]
    rate_ppm: RatePpm
    base: Annotated[Money, Field(description="What the rate applies to.")]
    amount: Annotated[Money, Field(description="The tax.")]
    compound: Annotated[bool, Field(description="Whether the rate applies to the taxes before it too.")] = False
    reason: Annotated[TaxReason, Field(description="Why this rate applies.")]


class TaxRateFields(Model):
    """A rate of tax for goods of one category that are shipped to one place.

    Of the rates that are valid when an order is placed, the most specific place counts: a postal prefix, the longest
    first, then a region, then the country. One rate of each `priority` applies, the lowest priority first: give a
    county's tax another priority than its state's when both are charged. Goods of a category without a rate at the
    place are taxed as `standard` there, those of the category `exempt` are not taxed.
    """

    category: TaxCategory = DEFAULT_TAX_CATEGORY
    country: Annotated[AssignedCountry, Field(description="An assigned ISO 3166-1 alpha-2 code, in any case.")]
    region: OptionalRegion = None
    postal_prefix: OptionalPostalPrefix = None
    rate_ppm: RatePpm
    name: Annotated[
        NonEmptyLine, StringConstraints(max_length=60), VISIBLE, Field(description="The name that an invoice shows.")
    ]
    compound: Annotated[bool, Field(description="Whether the rate applies to the taxes before it too.")] = False
    priority: Annotated[int, Field(ge=1, le=9, description="Which tax this is, in the order of computation.")] = 1
    valid_from: Annotated[InputTimestamp | None, Field(description="From when it is charged; null for always.")] = None
    valid_to: Annotated[InputTimestamp | None, Field(description="Until when, exclusive; null for no end.")] = None
    reason: Annotated[TaxReason, Field(description="Why this rate applies; a rate of zero needs a reason for it.")] = (
        TaxReason.STANDARD
    )

    @model_validator(mode="after")
    def _require_fitting_reason(self) -> "TaxRateFields":
        if (self.rate_ppm > 0) != (self.reason in TAXED_REASONS):
            message = "A rate above zero has the `reason` standard or reduced, and a rate of zero any other."
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _require_some_time(self) -> "TaxRateFields":
        if self.valid_from is not None and self.valid_to is not None and self.valid_to <= self.valid_from:
            message = "`valid_to` must be later than `valid_from`."
            raise ValueError(message)
        return self


class TaxRate(Model):
    """A rate of tax for goods of one category that are shipped to one place."""

    id: Id
    category: TaxCategory
    country: Annotated[CountryCode, Field(description="ISO 3166-1 alpha-2 code.")]
    region: Annotated[SingleLine | None, Field(description="State, province or county; null for all.")]
    postal_prefix: Annotated[SingleLine | None, Field(description="The beginning of the postal codes; null for all.")]
    rate_ppm: RatePpm
    name: Annotated[SingleLine, Field(description="The name that an invoice shows.")]
    compound: Annotated[bool, Field(description="Whether the rate applies to the taxes before it too.")]
    priority: Annotated[int, Field(description="Which tax this is, in the order of computation.")]
    valid_from: Annotated[Timestamp | None, Field(description="From when it is charged; null for always.")]
    valid_to: Annotated[Timestamp | None, Field(description="Until when, exclusive; null for no end.")]
    reason: Annotated[TaxReason, Field(description="Why this rate applies.")]


class ReplaceTaxRate(TaxRateFields):
    """The new fields of a tax rate."""

    id: Id


class TaxRateRef(Model):
    """Names a tax rate."""

    id: Id


class TaxSettings(Model):
    """How the shop charges tax."""

    prices_include_tax: Annotated[
        bool, Field(description="Whether prices, of shipping too, include the tax. Placed orders keep what was set.")
    ] = False
    seller_country: Annotated[
        AssignedCountry | None, Field(description="Where the shop is established; null leaves `oss` without effect.")
    ] = None
    oss: Annotated[
        bool,
        Field(
            description="Whether a shop in the EU charges the tax of the customer's EU country (One Stop Shop). If "
            "not, it charges its own country's tax within the EU."
        ),
    ] = False
    shipping_tax_category: Annotated[
        TaxCategory | None,
        Field(description="The tax category of shipping; null taxes each line's share of shipping as the line."),
    ] = None
