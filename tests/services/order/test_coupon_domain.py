"""Coupons without a store: codes, refusals, and what orders with one add up to."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.coupons import CouponInvalid, CouponKind, CouponRefusal, CouponTarget, CouponTerms
from contracts.order import Coupon, CouponFields, ShippingZone, TaxRate, TaxReason, TaxSettings
from contracts.readable_codes import RANDOM_BYTES, code_key
from services.order.domain.applicable_taxes import TaxTable
from services.order.domain.coupons import (
    CouponChanged,
    CouponCustomer,
    CouponLock,
    CouponState,
    CouponUse,
    EarlierUses,
    customer_of,
    format_single_use_code,
    grant_uses,
    require_fitting,
    require_usable,
)
from services.order.domain.places import Place
from services.order.domain.pricing import GoodsLine, OrderPrice, PricingRules, price_order
from services.order.domain.shipping import ShippingTable

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = UUID(int=7)
PLACE = Place("DE")
DEFAULTS: dict[str, Any] = {"kind": CouponKind.PERCENT, "value": 10, "active": True, "used": 0}


def coupon_state(*, uses_by_customer: int = 0, has_ordered: bool = False, **fields: Any) -> CouponState:
    values = {"id": ID, "code": "TEN", "starts_at": None, "ends_at": None, "created_at": AT}
    coupon = Coupon(**{**values, **DEFAULTS, **fields})
    return CouponState(
        coupon, 1, "TEN", None, is_code_used=False, uses_by_customer=uses_by_customer, has_ordered=has_ordered
    )


def terms(**fields: Any) -> CouponTerms:
    values: dict[str, Any] = {"code": "TEN", "currency": None, "applies_to": CouponTarget.GOODS, "min_subtotal": None}
    return CouponTerms(**{"kind": CouponKind.PERCENT, "value": 10, **values, **fields})


def rules(
    rates: list[int], shipping: int, currency: str, *, tax_included: bool, free_over: int | None = None
) -> PricingRules:
    """Each category has a rate of its own: `category-0` the first one."""
    money = {"amount": shipping, "currency": currency}
    free = [] if free_over is None else [{"amount": free_over, "currency": currency}]
    method = {"code": "standard", "name": "Standard", "prices": [{"price": money}], "free_over": free}
    zone = {"id": str(ID), "name": "All", "places": [{}], "methods": [method]}
    taxes = [
        TaxRate(
            id=UUID(int=number),
            category=f"category-{number}",
            country="DE",
            region=None,
            postal_prefix=None,
            rate_ppm=rate,
            name=f"Tax {number}",
            compound=False,
            priority=1,
            valid_from=None,
            valid_to=None,
            reason=TaxReason.STANDARD if rate else TaxReason.ZERO_RATED,
        )
        for number, rate in enumerate(rates)
    ]
    settings = TaxSettings(prices_include_tax=tax_included)
    return PricingRules(1, settings, TaxTable(taxes), ShippingTable([ShippingZone.model_validate(zone, strict=False)]))


def priced(lines: list[GoodsLine], coupon: CouponTerms | None, by: PricingRules, currency: str = "EUR") -> OrderPrice:
    return price_order(lines, currency, "standard", PLACE, by, AT, coupon)


@given(
    st.sampled_from(["JPY", "EUR", "KWD"]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 50), st.integers(0, 2)), min_size=1, max_size=6),
    st.lists(st.integers(0, 300_000), min_size=3, max_size=3),
    st.integers(0, 5_000),
    st.sampled_from(CouponTarget),
    st.one_of(st.integers(1, 100), st.integers(1, 10**9).map(lambda amount: -amount)),
)
def test_the_sums_of_an_order_with_a_coupon_add_up(
    currency: str,
    tax_included: bool,  # noqa: FBT001 - Hypothesis passes it by position
    goods: list[tuple[int, int, int]],
    rates: list[int],
    shipping: int,
    target: CouponTarget,
    value: int,
) -> None:
    """A positive value is percent, a negative one an amount."""
    lines = [GoodsLine(price, quantity, f"category-{number}") for price, quantity, number in goods]
    kind = CouponKind.PERCENT if value > 0 else CouponKind.FIXED
    coupon = terms(kind=kind, value=abs(value), applies_to=target, currency=currency)
    by = rules(rates, shipping, currency, tax_included=tax_included)
    try:
        price = priced(lines, coupon, by, currency)
    except CouponInvalid:
        assert sum(price * quantity for price, quantity, _ in goods) < 50 or target is CouponTarget.SHIPPING
        return
    amounts = [line.unit_price * line.quantity for line in lines]
    discounts = [line.discount.amount for line in price.lines]
    assert all(0 <= discount <= amount for discount, amount in zip(discounts, amounts, strict=True))
    assert price.discount.amount == sum(discounts) + price.shipping_discount.amount > 0
    assert 0 <= price.shipping_discount.amount <= price.shipping.amount
    assert (sum(discounts) == 0) is (target is CouponTarget.SHIPPING)
    taxes = [tax for line in price.lines for tax in (*line.tax_lines, *line.shipping_tax_lines)]
    assert (
        price.tax.amount == sum(tax.amount.amount for tax in taxes) == sum(tax.amount.amount for tax in price.tax_lines)
    )
    paid = sum(amounts) - price.discount.amount + price.shipping.amount
    assert price.total.amount == paid + (0 if tax_included else price.tax.amount)
    if value == 100 and target is CouponTarget.GOODS and not shipping:
        assert (price.total.amount, price.tax.amount) == (0, 0)


def test_a_percentage_is_divided_among_lines_with_different_taxes() -> None:
    lines = [GoodsLine(1999, 2, "category-0"), GoodsLine(333, 3, "category-1")]
    price = priced(lines, terms(), rules([190_000, 70_000], 490, "EUR", tax_included=True))
    assert [line.discount.amount for line in price.lines] == [400, 100]
    assert (price.discount.amount, price.tax.amount, price.total.amount) == (500, 702, 4987)


@pytest.mark.parametrize(
    ("value", "shipping", "discount", "total"), [(500, 490, 490, 1999), (200, 490, 200, 2289)], ids=["all", "a part"]
)
def test_a_coupon_for_shipping_leaves_the_goods_alone(value: int, shipping: int, discount: int, total: int) -> None:
    coupon = terms(kind=CouponKind.FIXED, value=value, currency="EUR", applies_to=CouponTarget.SHIPPING)
    price = priced([GoodsLine(1999, 1)], coupon, rules([], shipping, "EUR", tax_included=True))
    assert (price.lines[0].discount.amount, price.shipping.amount) == (0, shipping)
    assert (price.shipping_discount.amount, price.discount.amount, price.total.amount) == (discount, discount, total)


def test_shipping_is_free_over_what_the_goods_cost_after_the_discount() -> None:
    by = rules([], 490, "EUR", tax_included=True, free_over=1900)
    assert priced([GoodsLine(2000, 1)], None, by).shipping.amount == 0
    assert priced([GoodsLine(2000, 1)], terms(), by).shipping.amount == 490


def test_a_coupon_that_would_take_nothing_off_is_refused() -> None:
    by = rules([], 0, "EUR", tax_included=True)
    for coupon, price in ((terms(), 0), (terms(value=1), 10), (terms(applies_to=CouponTarget.SHIPPING), 1999)):
        with pytest.raises(CouponInvalid) as refused:
            priced([GoodsLine(price, 1)], coupon, by)
        assert refused.value.reason == CouponRefusal.NO_ELIGIBLE_LINES


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"active": False}, CouponRefusal.INACTIVE),
        ({"starts_at": AT + timedelta(seconds=1)}, CouponRefusal.NOT_YET),
        ({"ends_at": AT}, CouponRefusal.EXPIRED),
        ({"max_uses": 3, "used": 3}, CouponRefusal.EXHAUSTED),
        ({"max_uses_per_user": 1, "uses_by_customer": 1}, CouponRefusal.USED_BY_YOU),
        ({"first_order_only": True, "has_ordered": True}, CouponRefusal.NOT_FIRST_ORDER),
    ],
    ids=lambda value: str(value) if isinstance(value, CouponRefusal) else "",
)
def test_a_coupon_is_refused_for_a_reason(fields: dict[str, Any], reason: CouponRefusal) -> None:
    with pytest.raises(CouponInvalid) as refused:
        require_usable(coupon_state(**fields), AT)
    assert refused.value.reason == reason
    assert refused.value.detail.startswith(("This coupon", "You have"))


def test_a_coupon_within_its_limits_is_accepted() -> None:
    limits = {"starts_at": AT, "ends_at": AT + timedelta(seconds=1), "max_uses": 3, "used": 2, "max_uses_per_user": 1}
    assert require_usable(coupon_state(**limits, has_ordered=True), AT).code == "TEN"


@pytest.mark.parametrize(
    ("currency", "minimum", "detail"),
    [
        ("EUR", 2500, "This coupon requires goods for 25.00 EUR. Add goods for 5.01 EUR more."),
        ("JPY", 2500, "This coupon requires goods for 2500 JPY. Add goods for 501 JPY more."),
        ("KWD", 2500, "This coupon requires goods for 2.500 KWD. Add goods for 0.501 KWD more."),
    ],
    ids=["EUR", "JPY", "KWD"],
)
def test_a_refusal_says_how_much_is_missing(currency: str, minimum: int, detail: str) -> None:
    coupon = terms(min_subtotal=minimum, currency=currency)
    require_fitting(coupon, minimum, currency)
    with pytest.raises(CouponInvalid, match=r"Add goods") as refused:
        require_fitting(coupon, 1999, currency)
    assert (refused.value.detail, refused.value.reason) == (detail, CouponRefusal.MIN_SUBTOTAL)


def test_an_amount_is_for_its_currency_only() -> None:
    with pytest.raises(CouponInvalid) as refused:
        require_fitting(terms(currency="EUR"), 5000, "USD")
    assert refused.value.reason == CouponRefusal.CURRENCY


@pytest.mark.parametrize("written", ["SUMMER10", "summer 10", " Summer-10 ", "SUMMERIO", "summerlo"])
def test_codes_that_read_the_same_are_the_same(written: str) -> None:
    assert code_key(written) == "SUMMER10"


def test_a_single_use_code_has_80_random_bits() -> None:
    assert format_single_use_code(bytes(RANDOM_BYTES), "SUMMER") == "SUMMER-0000-0000-0000-0000"
    assert format_single_use_code(bytes([255] * RANDOM_BYTES), None) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"
    codes = {format_single_use_code((1 << bit).to_bytes(RANDOM_BYTES), None) for bit in range(8 * RANDOM_BYTES)}
    assert len(codes) == 80
    assert len({code_key(code) for code in codes}) == 80


def test_guests_are_counted_by_the_mailbox_without_storing_it() -> None:
    ada = customer_of(None, "Ada+shop@Example.com", "a secret")
    assert ada.key == customer_of(None, "ada@example.com", "a secret").key
    assert ada.key != customer_of(None, "ada@example.com", "another secret").key
    assert ada.key is not None
    assert b"ada" not in ada.key
    assert customer_of(ID, None, "a secret").key == ID.bytes
    assert customer_of(None, None, "a secret").key is None


def limits(**values: Any) -> CouponLock:
    """The limits of a coupon that was not used so far."""
    none = {"version": 1, "used": 0, "max_uses": None, "max_uses_per_user": None, "first_order_only": False}
    return CouponLock(**{**none, **values})


def before(**values: Any) -> EarlierUses:
    """What was committed before: nothing, except for `values`."""
    return EarlierUses(**{"is_code_used": False, "uses_by_customer": 0, "has_ordered": False, **values})


def use(number: int, *, code: str | None = None, version: int = 1) -> CouponUse:
    """A use by the customer with this number."""
    return CouponUse(ID, version, code, CouponCustomer(bytes([number]), UUID(int=number)))


def refusals(uses: list[CouponUse], lock: CouponLock, earlier: EarlierUses | None = None) -> list[str | None]:
    wanted = {UUID(int=100 + number): one for number, one in enumerate(uses)}
    known = dict.fromkeys(wanted, earlier or before())
    found = grant_uses(wanted.items(), {ID: lock}, known)
    return [getattr(found.get(order_id), "reason", order_id in found and "changed") or None for order_id in wanted]


@pytest.mark.parametrize(
    ("uses", "lock", "expected"),
    [
        ([use(1), use(2), use(3)], limits(used=8, max_uses=10), [None, None, "exhausted"]),
        ([use(1), use(1), use(2)], limits(max_uses_per_user=1), [None, "used_by_you", None]),
        ([use(1), use(1), use(2)], limits(first_order_only=True), [None, "not_first_order", None]),
        (
            [use(1, code="A"), use(2, code="A"), use(3, code="B")],
            limits(),
            [None, "exhausted", None],
        ),
        ([use(1, version=0), use(2)], limits(max_uses=1), ["changed", None]),
    ],
    ids=["limit", "per customer", "first order", "single use", "edited"],
)
def test_orders_of_one_moment_share_what_is_left(
    uses: list[CouponUse], lock: CouponLock, expected: list[str | None]
) -> None:
    assert refusals(uses, lock) == expected


def test_what_was_committed_before_counts_too() -> None:
    lock = limits(used=1, max_uses=10, max_uses_per_user=2, first_order_only=True)
    assert refusals([use(1)], lock, before(is_code_used=True)) == ["exhausted"]
    assert refusals([use(1)], lock, before(uses_by_customer=2)) == ["used_by_you"]
    assert refusals([use(1)], lock, before(uses_by_customer=1, has_ordered=True)) == ["not_first_order"]


def test_a_deleted_coupon_has_the_order_priced_again() -> None:
    found = grant_uses([(ID, use(1))], {}, {ID: before()})
    assert isinstance(found[ID], CouponChanged)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "percent", "value": 101},
        {"kind": "percent", "value": 0},
        {"kind": "fixed", "value": 500},
        {"kind": "percent", "value": 10, "min_subtotal": 500},
        {"kind": "percent", "value": 10, "starts_at": "2026-02-01", "ends_at": "2026-02-01"},
        {"kind": "percent", "value": 10, "code": "-A"},
    ],
    ids=["over 100 %", "0 %", "no currency", "minimum without currency", "no time", "code"],
)
def test_a_coupon_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CouponFields.model_validate(fields, strict=False)
