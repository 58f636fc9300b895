"""Coupons: their codes, whether one is accepted, and what it takes off."""

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.coupons import CouponInvalid, CouponKind, CouponRefusal, CouponTarget, CouponTerms
from contracts.money import CURRENCY_EXPONENTS
from contracts.order import Coupon
from contracts.readable_codes import format_code
from services.order.domain.guest_limits import mailbox_of
from services.order.domain.sums import LinePrice, fixed_discount, percent_discount

_DETAILS: Mapping[CouponRefusal, str] = {
    CouponRefusal.UNKNOWN: "There is no coupon with this code. Check its spelling.",
    CouponRefusal.INACTIVE: "This coupon is not available at present.",
    CouponRefusal.NOT_YET: "This coupon is not valid yet.",
    CouponRefusal.EXPIRED: "This coupon has expired.",
    CouponRefusal.EXHAUSTED: "This coupon has been used up.",
    CouponRefusal.USED_BY_YOU: "You have already used this coupon.",
    CouponRefusal.NOT_FIRST_ORDER: "This coupon is for a first order only.",
    CouponRefusal.CURRENCY: "This coupon is for orders in another currency.",
    CouponRefusal.MIN_SUBTOTAL: "The goods cost less than this coupon requires.",
    CouponRefusal.NO_ELIGIBLE_LINES: "There is nothing in this order that the coupon could take off.",
}


@dataclass(frozen=True, slots=True)
class CouponCustomer:
    """Who wants to use a coupon: the key that uses are counted by, and how orders of the customer are found.

    A guest whose e-mail is not known yet has no key, and no limit until the order is placed.
    """

    key: bytes | None
    user_id: UUID | None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class CouponState:
    """A coupon as one customer finds it by a code. `code_key` is set for a single-use code."""

    coupon: Coupon
    version: int
    code: str
    code_key: str | None
    is_code_used: bool
    uses_by_customer: int
    has_ordered: bool


@dataclass(frozen=True, slots=True)
class CouponUse:
    """The use of a coupon by an order that is to be stored. `version` is that of the coupon when it was priced."""

    coupon_id: UUID
    version: int
    code_key: str | None
    customer: CouponCustomer


@dataclass(frozen=True, slots=True)
class CouponLock:
    """A coupon's limits and counter, read under the lock of its row."""

    version: int
    used: int
    max_uses: int | None
    max_uses_per_user: int | None
    first_order_only: bool


@dataclass(frozen=True, slots=True)
class EarlierUses:
    """What was committed before the coupons were locked, for one wanted use."""

    is_code_used: bool
    uses_by_customer: int
    has_ordered: bool


@dataclass(frozen=True, slots=True)
class RequestedCoupon:
    """The coupon of an order that is to be placed: what it takes off, and the use to be taken."""

    terms: CouponTerms
    use: CouponUse


class CouponChanged(Exception):  # noqa: N818 - control flow: the order is priced again
    """The coupon was edited or deleted since the order was priced."""


def format_single_use_code(random: bytes, prefix: str | None) -> str:
    """Returns a code such as `SUMMER-7K2M-9QXC-0T4B-V8ZD`."""
    return "-".join([*([prefix] if prefix else []), format_code(random)])


def customer_of(user_id: UUID | None, email: str | None, secret: str) -> CouponCustomer:
    """Returns who uses coupons: a customer by id, a guest by a keyed hash of the mailbox."""
    if user_id is not None:
        return CouponCustomer(user_id.bytes, user_id)
    if email is None:
        return CouponCustomer(None, None)
    text = f"coupon customer\0{mailbox_of(email)}"
    return CouponCustomer(hmac.digest(secret.encode(), text.encode(), "sha256"), None, email)


def refuse(reason: CouponRefusal, detail: str | None = None) -> CouponInvalid:
    """Returns the failure for this reason."""
    return CouponInvalid(detail or _DETAILS[reason], reason=reason)


def require_usable(state: CouponState | None, at: datetime) -> CouponState:
    """Returns the coupon if this customer may use it now, without a look at the order; else raises `CouponInvalid`."""
    if state is None:
        raise refuse(CouponRefusal.UNKNOWN)
    coupon = state.coupon
    refusals = {
        CouponRefusal.INACTIVE: not coupon.active,
        CouponRefusal.NOT_YET: coupon.starts_at is not None and at < coupon.starts_at,
        CouponRefusal.EXPIRED: coupon.ends_at is not None and at >= coupon.ends_at,
        CouponRefusal.EXHAUSTED: state.is_code_used or _is_reached(coupon.used, coupon.max_uses),
        CouponRefusal.USED_BY_YOU: _is_reached(state.uses_by_customer, coupon.max_uses_per_user),
        CouponRefusal.NOT_FIRST_ORDER: coupon.first_order_only and state.has_ordered,
    }
    for reason, applies in refusals.items():
        if applies:
            raise refuse(reason)
    return state


def terms_of(state: CouponState) -> CouponTerms:
    """Returns what the coupon takes off."""
    coupon = state.coupon
    return CouponTerms(
        code=state.code,
        kind=coupon.kind,
        value=coupon.value,
        currency=coupon.currency,
        applies_to=coupon.applies_to,
        min_subtotal=coupon.min_subtotal,
    )


def request_coupon(state: CouponState, customer: CouponCustomer) -> RequestedCoupon:
    """Returns the coupon as an order of this customer uses it."""
    use = CouponUse(state.coupon.id, state.version, state.code_key, customer)
    return RequestedCoupon(terms_of(state), use)


def require_fitting(terms: CouponTerms, subtotal: int, currency: str) -> None:
    """Raises `CouponInvalid` when goods for this subtotal cannot use the coupon."""
    if terms.currency not in (None, currency):
        raise refuse(CouponRefusal.CURRENCY, f"This coupon is for orders in {terms.currency}.")
    missing = (terms.min_subtotal or 0) - subtotal
    if missing > 0:
        required, more = format_amount(terms.min_subtotal or 0, currency), format_amount(missing, currency)
        detail = f"This coupon requires goods for {required}. Add goods for {more} more."
        raise refuse(CouponRefusal.MIN_SUBTOTAL, detail)


def discount_on(terms: CouponTerms | None, target: CouponTarget, lines: Sequence[LinePrice]) -> int:
    """Returns what the coupon takes off these lines: 0 if it is for another target, or there is none.

    Raises `CouponInvalid` when it is for them, and would take nothing off.
    """
    if terms is None or terms.applies_to is not target:
        return 0
    is_percent = terms.kind is CouponKind.PERCENT
    discount = percent_discount(lines, terms.value) if is_percent else fixed_discount(lines, terms.value)
    if not discount:
        raise refuse(CouponRefusal.NO_ELIGIBLE_LINES)
    return discount


def format_amount(amount: int, currency: str) -> str:
    """Returns an amount such as `12.50 EUR`."""
    digits = CURRENCY_EXPONENTS[currency]
    units, rest = divmod(amount, 10**digits)
    return f"{units}.{rest:0{digits}d} {currency}" if digits else f"{units} {currency}"


def grant_uses(
    wanted: Iterable[tuple[UUID, CouponUse]], coupons: Mapping[UUID, CouponLock], earlier: Mapping[UUID, EarlierUses]
) -> dict[UUID, Exception]:
    """Decides which of these orders get their coupon, in their order, while the coupons are locked.

    Returns why the others do not: `CouponInvalid`, or `CouponChanged` when they have to be priced again.
    """
    granted: list[CouponUse] = []
    refused: dict[UUID, Exception] = {}
    for order_id, use in wanted:
        error = _find_refusal(use, coupons.get(use.coupon_id), earlier[order_id], granted)
        if error is None:
            granted.append(use)
        else:
            refused[order_id] = error
    return refused


def _find_refusal(
    use: CouponUse, coupon: CouponLock | None, earlier: EarlierUses, granted: Sequence[CouponUse]
) -> Exception | None:
    """Why this order does not get its coupon after those that were granted just now; None if it does."""
    if coupon is None or coupon.version != use.version:
        return CouponChanged()
    of_coupon = [other for other in granted if other.coupon_id == use.coupon_id]
    of_customer = Counter(other.customer.key for other in of_coupon)[use.customer.key]
    is_code_used = use.code_key is not None and any(other.code_key == use.code_key for other in of_coupon)
    if earlier.is_code_used or is_code_used or _is_reached(coupon.used + len(of_coupon), coupon.max_uses):
        return refuse(CouponRefusal.EXHAUSTED)
    if _is_reached(earlier.uses_by_customer + of_customer, coupon.max_uses_per_user):
        return refuse(CouponRefusal.USED_BY_YOU)
    has_ordered = earlier.has_ordered or any(other.customer.key == use.customer.key for other in granted)
    return refuse(CouponRefusal.NOT_FIRST_ORDER) if coupon.first_order_only and has_ordered else None


def _is_reached(count: int, limit: int | None) -> bool:
    return limit is not None and count >= limit
