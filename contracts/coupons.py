"""Coupons: their codes, what they take off, and why one is refused. For carts and orders alike."""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, StringConstraints

from contracts.failure import Fail
from contracts.model import Model, NonEmptyLine
from contracts.money import MAX_AMOUNT, CurrencyCode

CouponCode = Annotated[
    NonEmptyLine,
    StringConstraints(max_length=64),
    Field(description="A coupon's code. Case, spaces and hyphens do not matter.", examples=["SUMMER10"]),
]


class CouponKind(StrEnum):
    """How a coupon's `value` is meant: percent, or minor units of its currency."""

    PERCENT = "percent"
    FIXED = "fixed"


class CouponTarget(StrEnum):
    """What a coupon takes its value off."""

    GOODS = "goods"
    SHIPPING = "shipping"


class CouponRefusal(StrEnum):
    """Why a coupon is refused. More reasons may be added."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    USED_BY_YOU = "used_by_you"
    NOT_FIRST_ORDER = "not_first_order"
    CURRENCY = "currency"
    MIN_SUBTOTAL = "min_subtotal"
    NO_ELIGIBLE_LINES = "no_eligible_lines"


class CouponInvalid(Fail, status=HTTPStatus.UNPROCESSABLE_ENTITY, code="coupon_invalid"):
    """The coupon cannot be used."""


class TooManyCouponAttempts(Fail, status=HTTPStatus.TOO_MANY_REQUESTS, code="too_many_coupon_attempts"):
    """Too many unknown coupon codes were tried."""


class CouponTerms(Model):
    """What a coupon takes off, as a cart shows it. Whether it is accepted is decided when the order is placed."""

    code: Annotated[CouponCode, Field(description="The code as the merchant writes it.")]
    kind: CouponKind
    value: Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
    currency: CurrencyCode | None
    applies_to: CouponTarget
    min_subtotal: Annotated[int | None, Field(ge=0, le=MAX_AMOUNT)]
