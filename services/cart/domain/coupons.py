"""The coupon of a cart. What it takes off is advice: the order decides whether it is accepted."""

from dataclasses import dataclass

from contracts.coupons import CouponKind, CouponTarget, CouponTerms
from contracts.money import divide_half_up

PERCENT = 100


@dataclass(frozen=True, slots=True)
class CartCoupon:
    """A coupon as it was when the owner added it. `since` is the cart's version that added it."""

    terms: CouponTerms
    since: int = 0


@dataclass(frozen=True, slots=True)
class SetCoupon:
    """Sets or, with None, removes the coupon. The store sets its `since` to the new version."""

    coupon: CartCoupon | None


def discount_of(coupon: CartCoupon | None, subtotal: int, currency: str) -> int:
    """Returns what the coupon takes off goods for this subtotal; a coupon for shipping takes nothing off goods."""
    if coupon is None:
        return 0
    terms = coupon.terms
    is_fitting = terms.currency in (None, currency) and subtotal >= (terms.min_subtotal or 0)
    if not is_fitting or terms.applies_to is CouponTarget.SHIPPING:
        return 0
    if terms.kind is CouponKind.PERCENT:
        return divide_half_up(subtotal * terms.value, PERCENT)
    return min(terms.value, subtotal)
