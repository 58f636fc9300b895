"""Coupons as a merchant defines them, and their single-use codes."""

from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from contracts.coupons import CouponCode, CouponKind, CouponTarget
from contracts.failure import Fail
from contracts.model import Id, InputTimestamp, Model, SingleLine, Timestamp
from contracts.money import MAX_AMOUNT, CurrencyCode, Money
from contracts.text_patterns import text_format

MAX_PERCENT = 100
MAX_USES = 2_000_000_000
MAX_CODES = 1_000
"""Single-use codes that one request makes."""

NewCouponCode = Annotated[
    str,
    text_format(
        r"^[A-Za-z0-9]([A-Za-z0-9 _-]*[A-Za-z0-9])?$",
        "Send letters, digits, and spaces or hyphens between them.",
        min_length=3,
        max_length=40,
    ),
]
CodePrefix = Annotated[
    str,
    text_format(r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$", "Send letters, digits and hyphens.", max_length=20),
]


class CouponCodeTaken(Fail, status=HTTPStatus.CONFLICT, code="coupon_code_taken"):
    """Another coupon has this code, or one that reads the same."""


class CouponLimits(Model):
    """What a coupon takes off, and how often."""

    kind: Annotated[CouponKind, Field(description="Whether `value` is percent or an amount.")]
    value: Annotated[
        int,
        Field(ge=1, le=MAX_AMOUNT, description="1 to 100 percent, or minor units of `currency`.", examples=[10]),
    ]
    currency: Annotated[
        CurrencyCode | None,
        Field(description="The only currency it is for; required for an amount and for `min_subtotal`."),
    ] = None
    applies_to: Annotated[CouponTarget, Field(description="What the value is taken off.")] = CouponTarget.GOODS
    min_subtotal: Annotated[
        int | None,
        Field(ge=0, le=MAX_AMOUNT, description="What the goods have to cost at least, in minor units of `currency`."),
    ] = None
    max_uses: Annotated[
        int | None, Field(ge=1, le=MAX_USES, description="Orders that may use it; null for any number.")
    ] = None
    max_uses_per_user: Annotated[
        int | None, Field(ge=1, le=MAX_USES, description="Orders of one customer that may use it; null for any number.")
    ] = None
    first_order_only: Annotated[bool, Field(description="Whether only a customer's first order may use it.")] = False
    active: Annotated[bool, Field(description="Whether it can be used at present.")] = True


class CouponFields(CouponLimits):
    """A coupon. Orders that are not cancelled count as its uses.

    Without a `code`, only its single-use codes are accepted.
    """

    code: Annotated[
        NewCouponCode | None,
        Field(
            description="What customers enter. Case, spaces and hyphens do not matter, nor whether O is 0 and I or L "
            "is 1.",
            examples=["SUMMER10"],
        ),
    ] = None
    starts_at: Annotated[InputTimestamp | None, Field(description="From when it is accepted; null for always.")] = None
    ends_at: Annotated[InputTimestamp | None, Field(description="Until when, exclusive; null for no end.")] = None

    @model_validator(mode="after")
    def _require_fitting_value(self) -> "CouponFields":
        if self.kind is CouponKind.PERCENT and self.value > MAX_PERCENT:
            message = "Send a `value` of 1 to 100 percent."
            raise ValueError(message)
        if self.currency is None and (self.kind is CouponKind.FIXED or self.min_subtotal is not None):
            message = "Send the `currency` of the amount."
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _require_some_time(self) -> "CouponFields":
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            message = "`ends_at` must be later than `starts_at`."
            raise ValueError(message)
        return self


class Coupon(CouponLimits):
    """A coupon with the number of its uses."""

    id: Id
    code: Annotated[SingleLine | None, Field(description="What customers enter; null for single-use codes alone.")]
    starts_at: Annotated[Timestamp | None, Field(description="From when it is accepted; null for always.")]
    ends_at: Annotated[Timestamp | None, Field(description="Until when, exclusive; null for no end.")]
    used: Annotated[int, Field(description="Orders that use it. A cancelled order gives its use back.")]
    created_at: Timestamp


class ReplaceCoupon(CouponFields):
    """The new fields of a coupon."""

    id: Id


class CouponRef(Model):
    """Names a coupon."""

    id: Id


class CreateCouponCodes(Model):
    """How many single-use codes to make for a coupon. Each is accepted for one order, by the coupon's rules."""

    id: Id
    count: Annotated[int, Field(ge=1, le=MAX_CODES, description="How many codes to make.", examples=[100])]
    prefix: Annotated[CodePrefix | None, Field(description="What each code begins with.", examples=["SUMMER"])] = None


class CouponCodes(Model):
    """Single-use codes that were just made."""

    codes: Annotated[list[SingleLine], Field(description="The codes. They are shown here only.")]


class CheckCoupon(Model):
    """Asks whether a coupon would be accepted for the goods of a cart."""

    code: CouponCode
    subtotal: Money
    user_id: Annotated[Id | None, Field(description="The customer; null for a guest, whose e-mail is not known yet.")]
    cart_id: Annotated[SingleLine, StringConstraints(max_length=64), Field(description="The cart's reference.")]
    client_ip: Annotated[SingleLine, StringConstraints(max_length=64)]
