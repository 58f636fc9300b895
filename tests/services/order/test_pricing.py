"""Which taxes and shipping methods apply to an order, and that every amount adds up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.countries import COUNTRY_CODES, EU_COUNTRIES
from contracts.order import (
    ShippingZone,
    TaxRate,
    TaxRateFields,
    TaxReason,
    TaxSettings,
)
from infra.foundation.ids import new_id
from services.order.domain.applicable_taxes import TaxTable, overlaps, taxing_place
from services.order.domain.places import Place, PlaceIndex, place_of
from services.order.domain.pricing import GoodsLine, OrderPrice, PricingRules, price_order
from services.order.domain.shipping import ShippingTable
from services.order.domain.sums import tax_on

AT = datetime(2026, 6, 1, tzinfo=UTC)
MIAMI = place_of("US", "FL", "33101-4321")
BERLIN = place_of("DE", None, "10115")
LAS_PALMAS = place_of("ES", None, "35001")


def tax_rate(country: str, rate_ppm: int, **more: Any) -> TaxRate:
    reason = TaxReason.STANDARD if rate_ppm else TaxReason.EXPORT
    fields = TaxRateFields(
        country=country, rate_ppm=rate_ppm, name=f"{country} {rate_ppm}", **{"reason": reason, **more}
    )
    return TaxRate(id=new_id(), **fields.model_dump())


def shipping_method(code: str, amount: int, currency: str = "EUR", **more: Any) -> dict[str, Any]:
    return {"code": code, "name": code, "prices": [{"price": {"amount": amount, "currency": currency}}], **more}


def shipping_zone(places: list[dict[str, str]], *methods: dict[str, Any]) -> ShippingZone:
    return ShippingZone.model_validate(
        {"id": new_id(), "name": str(places), "places": places, "methods": list(methods)}
    )


RATES = (
    tax_rate("DE", 160_000, valid_to=AT - timedelta(days=1)),
    tax_rate("DE", 190_000, valid_from=AT - timedelta(days=1), valid_to=AT + timedelta(days=30)),
    tax_rate("DE", 200_000, valid_from=AT + timedelta(days=30)),
    tax_rate("DE", 70_000, category="books", reason=TaxReason.REDUCED),
    tax_rate("ES", 210_000),
    tax_rate("ES", 0, postal_prefix="35"),
    tax_rate("US", 60_000, region="fl "),
    tax_rate("US", 5_000, region="FL", priority=2),
    tax_rate("US", 10_000, postal_prefix="331", priority=2),
    tax_rate("US", 20_000, postal_prefix="3310 1", region="GA", priority=2),
    tax_rate("CA", 50_000),
    tax_rate("CA", 99_750, region="QC", priority=2, compound=True),
)


@pytest.mark.parametrize(
    ("place", "category", "expected"),
    [
        (BERLIN, "standard", [190_000]),
        (BERLIN, "books", [70_000]),
        (place_of("ES", None, "28001"), "standard", [210_000]),
        (LAS_PALMAS, "standard", [0]),
        (MIAMI, "standard", [60_000, 10_000]),
        (place_of("US", "FL", "34101"), "standard", [60_000, 5_000]),
        (place_of("US", "TX", "75001"), "standard", [0]),
        (place_of("CA", "qc", "H2X 1Y4"), "standard", [50_000, 99_750]),
        (place_of("CA", "ON", "M5V 2T6"), "standard", [50_000]),
        (place_of("JP", None, "100-0001"), "standard", [0]),
    ],
    ids=["valid now", "category", "country", "prefix", "county", "region", "no tax", "two", "one of two", "elsewhere"],
)
def test_the_most_specific_rate_of_each_priority_applies(place: Place, category: str, expected: list[int]) -> None:
    found = TaxTable(RATES).rates_at(place, category, AT)
    assert [rate.rate_ppm for rate in found] == expected
    if expected == [0]:
        assert found[0].reason is (TaxReason.EXPORT if place == LAS_PALMAS else TaxReason.NOT_COLLECTING)


@pytest.mark.parametrize("category", ["books", "a code of another system"])
def test_goods_of_a_category_without_a_rate_where_they_go_are_taxed_as_standard(category: str) -> None:
    table = TaxTable(RATES)
    madrid = place_of("ES", None, "28001")
    assert table.rates_at(madrid, category, AT) == table.rates_at(madrid, "standard", AT)


def test_exempt_goods_are_taxed_only_where_the_merchant_has_a_rate_for_them() -> None:
    (exempt,) = TaxTable(RATES).rates_at(BERLIN, "exempt", AT)
    assert (exempt.rate_ppm, exempt.reason) == (0, TaxReason.EXEMPT)
    (taxed,) = TaxTable([tax_rate("DE", 50_000, category="exempt")]).rates_at(BERLIN, "exempt", AT)
    assert taxed.rate_ppm == 50_000


def test_a_rate_is_valid_from_its_first_moment_to_before_its_last() -> None:
    table = TaxTable(RATES)
    ends = AT + timedelta(days=30)
    assert [table.rates_at(BERLIN, "standard", at)[0].rate_ppm for at in (ends - timedelta(microseconds=1), ends)] == [
        190_000,
        200_000,
    ]


def test_a_shop_without_rates_has_no_tax_lines() -> None:
    assert TaxTable([]).rates_at(BERLIN, "standard", AT) == ()


@pytest.mark.parametrize(
    ("seller", "oss", "destination", "taxed_at"),
    [
        ("DE", False, "FR", "DE"),
        ("DE", True, "FR", "FR"),
        ("DE", False, "DE", "DE"),
        ("DE", False, "US", "US"),
        ("US", False, "DE", "DE"),
        (None, False, "FR", "FR"),
    ],
    ids=["small seller", "one stop shop", "home", "export", "from abroad", "unknown"],
)
def test_where_an_order_is_taxed(seller: str | None, *, oss: bool, destination: str, taxed_at: str) -> None:
    place = taxing_place(TaxSettings(seller_country=seller, oss=oss), place_of(destination, "Area", "123"))
    assert place.country == taxed_at
    assert (place.postal_code == "123") is (taxed_at == destination), "at home without a part of the country"


def test_the_union_has_27_members() -> None:
    assert len(EU_COUNTRIES) == 27
    assert EU_COUNTRIES < COUNTRY_CODES


@given(st.lists(st.integers(0, 6) | st.none(), min_size=4, max_size=4), st.integers(0, 5))
def test_rates_overlap_exactly_if_some_moment_has_both(bounds: list[int | None], moment: int) -> None:
    days = [AT + timedelta(days=day) if day is not None else None for day in bounds]
    if any(start and end and end <= start for start, end in (days[:2], days[2:])):
        return
    one = TaxRateFields(country="DE", rate_ppm=1, name="one", valid_from=days[0], valid_to=days[1])
    other = tax_rate("DE", 2, valid_from=days[2], valid_to=days[3])
    at = AT + timedelta(days=moment, hours=1)
    both = [
        rate
        for rate in (TaxRate(id=new_id(), **one.model_dump()), other)
        if TaxTable([rate]).rates_at(BERLIN, "standard", at)[0].rate_ppm
    ]
    assert overlaps(one, other) or len(both) < 2
    assert not overlaps(one, tax_rate("DE", 2, priority=2))
    assert not overlaps(one, tax_rate("DE", 2, postal_prefix="1"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_ppm": 0},
        {"rate_ppm": 1, "reason": TaxReason.EXEMPT},
        {"rate_ppm": 1_000_001},
        {"rate_ppm": -1},
        {"rate_ppm": 1, "valid_from": AT, "valid_to": AT},
        {"rate_ppm": 1, "postal_prefix": "%"},
        {"rate_ppm": 1, "country": "EU"},
    ],
    ids=["zero without a reason", "taxed but exempt", "above 100 %", "negative", "never", "no prefix", "no country"],
)
def test_rates_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TaxRateFields(**{"country": "DE", "name": "VAT", **wrong})


@given(st.text("0123", max_size=4), st.lists(st.tuples(st.text("0123", max_size=3), st.booleans()), unique=True))
def test_the_most_specific_place_comes_first(postal_code: str, places: list[tuple[str, bool]]) -> None:
    """The index finds what a search of all places finds, sorted by how specific they are."""
    of_region = [Place("DE", "by" if has_region else "", prefix) for prefix, has_region in places]
    index = PlaceIndex((place, place) for place in (*of_region, Place(""), Place("FR")))
    matching = [place for place in of_region if postal_code.startswith(place.postal_code)]
    matching.sort(key=lambda place: (-len(place.postal_code), place.region == ""))
    assert list(index.find(Place("DE", "by", postal_code))) == [*matching, Place("")]
    assert all(place.region == "" for place in index.find(Place("DE", "", postal_code)))


# A whole order


def rules(settings: TaxSettings, rates: Any, *methods: dict[str, Any]) -> PricingRules:
    zones = [shipping_zone([{}], *methods)] if methods else []
    return PricingRules(1, settings, TaxTable(rates), ShippingTable(zones))


def test_a_basket_of_two_categories_with_included_tax() -> None:
    """The figures of each line alone: 19.99 x 2 at 19 % and 3.33 x 3 at 7 %, with a shipping of 4.90."""
    priced = price_order(
        [GoodsLine(1999, 2), GoodsLine(333, 3, "books")],
        "EUR",
        "standard",
        BERLIN,
        rules(TaxSettings(prices_include_tax=True), RATES, shipping_method("parcel", 490)),
        AT,
    )
    assert [line.tax_lines[0].amount.amount for line in priced.lines] == [638, 65]
    assert [line.shipping_tax_lines[0].amount.amount for line in priced.lines] == [63, 6]
    assert [(line.rate_ppm, line.amount.amount) for line in priced.tax_lines] == [(190_000, 701), (70_000, 71)]
    assert (priced.tax.amount, priced.total.amount) == (772, 3998 + 999 + 490)


def test_shipping_can_be_taxed_as_one_category() -> None:
    settings = TaxSettings(shipping_tax_category="standard")
    lines = [GoodsLine(1000, 1, "books")]
    priced = price_order(lines, "EUR", "standard", BERLIN, rules(settings, RATES, shipping_method("parcel", 500)), AT)
    assert [(line.rate_ppm, line.amount.amount) for line in priced.tax_lines] == [(70_000, 70), (190_000, 95)]
    assert priced.total.amount == 1500 + 70 + 95
    free = price_order(lines, "EUR", "standard", BERLIN, rules(settings, RATES, shipping_method("parcel", 0)), AT)
    assert [line.rate_ppm for line in free.tax_lines] == [70_000], "nothing is taxed as nothing"


amounts = st.integers(0, 10_000_000)


@given(
    st.lists(
        st.tuples(amounts, st.integers(1, 999), st.sampled_from(["standard", "books", "food"])), min_size=1, max_size=6
    ),
    st.lists(
        st.tuples(st.integers(0, 1_000_000), st.sampled_from(["standard", "books"]), st.integers(1, 3), st.booleans()),
        max_size=6,
    ),
    st.sampled_from(["JPY", "EUR", "USD", "KWD"]),
    st.integers(0, 100_000) | st.none(),
    st.sampled_from([None, "standard", "food"]),
    st.booleans(),
)
def test_every_amount_of_an_order_adds_up(
    lines: list[tuple[int, int, str]],
    drawn_rates: list[tuple[int, str, int, bool]],
    currency: str,
    shipping: int | None,
    shipping_category: str | None,
    tax_included: bool,  # noqa: FBT001
) -> None:
    rates = [
        tax_rate("DE", ppm, category=category, priority=priority, compound=compound)
        for ppm, category, priority, compound in drawn_rates
    ]
    settings = TaxSettings(prices_include_tax=tax_included, shipping_tax_category=shipping_category)
    methods = [] if shipping is None else [shipping_method("parcel", shipping, currency)]
    priced_lines = [GoodsLine(price, quantity, category) for price, quantity, category in lines]
    priced = price_order(priced_lines, currency, "standard", BERLIN, rules(settings, rates, *methods), AT)
    assert_adds_up(priced)
    for line, (price, quantity, category) in zip(priced.lines, lines, strict=True):
        applied = TaxTable(rates).rates_at(BERLIN, category, AT)
        expected_taxes = tax_on(price * quantity, applied, tax_included=tax_included)
        assert [tax.amount.amount for tax in line.tax_lines] == [tax.amount for tax in expected_taxes]
    assert priced.subtotal.amount == sum(price * quantity for price, quantity, _ in lines)
    assert priced.shipping.amount == (shipping or 0)
    assert (priced.tax_lines == []) is (not rates)


def assert_adds_up(priced: OrderPrice) -> None:
    of_lines = [tax for line in priced.lines for tax in (*line.tax_lines, *line.shipping_tax_lines)]
    for taxes in (of_lines, priced.tax_lines):
        assert sum(tax.amount.amount for tax in taxes) == priced.tax.amount
        assert all(tax.amount.amount >= 0 and tax.base.amount >= 0 for tax in taxes)
    added = 0 if priced.tax_included else priced.tax.amount
    assert priced.total.amount == priced.subtotal.amount + priced.shipping.amount + added
    if priced.tax_included:
        assert priced.tax.amount <= priced.total.amount
