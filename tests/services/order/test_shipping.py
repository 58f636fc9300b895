"""Which shipping methods an order has, and what they cost by its subtotal and its weight."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.failure import InvalidRequest
from contracts.money import Money
from contracts.order import NotDeliverable, ShippingMethod, ShippingMethodKind, TaxSettings
from services.order.domain.applicable_taxes import TaxTable
from services.order.domain.places import Place, place_of
from services.order.domain.pricing import GoodsLine, PricingRules, price_order
from services.order.domain.shipping import ShippingChoice, ShippingTable, price_of
from tests.services.order.test_pricing import AT, BERLIN, RATES, rules, shipping_method, shipping_zone

ZONES = (
    shipping_zone(
        [{"country": "DE"}, {"country": "AT"}],
        shipping_method("express", 1290),
        shipping_method("parcel", 490, free_over=[{"amount": 5000, "currency": "EUR"}]),
        shipping_method("drone", 1, active=False),
    ),
    shipping_zone([{"country": "DE", "postal_prefix": "18565"}], shipping_method("ferry", 2500)),
    shipping_zone([{"country": "JP"}], shipping_method("standard", 900, "JPY"), shipping_method("slow", 100, "JPY")),
    shipping_zone([{"country": "NO"}], shipping_method("drone", 1, active=False)),
)


@pytest.mark.parametrize(
    ("place", "method", "subtotal", "currency", "expected"),
    [
        (BERLIN, "standard", 4999, "EUR", ShippingChoice("parcel", 490)),
        (BERLIN, "standard", 5000, "EUR", ShippingChoice("parcel", 0)),
        (BERLIN, "express", 5000, "EUR", ShippingChoice("express", 1290)),
        (BERLIN, "standard", 5000, "USD", NotDeliverable),
        (BERLIN, "drone", 5000, "EUR", InvalidRequest),
        (place_of("DE", None, "18565"), "standard", 1, "EUR", ShippingChoice("ferry", 2500)),
        (place_of("JP", None, "100"), "standard", 1, "JPY", ShippingChoice("standard", 900)),
        (place_of("FR", None, "75001"), "standard", 1, "EUR", NotDeliverable),
        (place_of("NO", None, "0010"), "standard", 1, "EUR", NotDeliverable),
    ],
    ids=["cheapest", "free", "named", "currency", "inactive", "island", "standard", "no zone", "no method"],
)
def test_the_shipping_method_of_an_order(
    place: Place, method: str, subtotal: int, currency: str, expected: ShippingChoice | type[Exception]
) -> None:
    table = ShippingTable(ZONES)
    if isinstance(expected, ShippingChoice):
        assert table.choose(place, method, subtotal, 0, currency) == expected
    else:
        with pytest.raises(expected):
            table.choose(place, method, subtotal, 0, currency)


def test_a_shop_without_zones_ships_everywhere_for_free() -> None:
    assert ShippingTable([]).choose(BERLIN, "standard", 1, 0, "EUR") == ShippingChoice("standard", 0)
    with pytest.raises(InvalidRequest):
        ShippingTable([]).choose(BERLIN, "express", 1, 0, "EUR")


def test_a_catch_all_zone_takes_what_no_other_has() -> None:
    table = ShippingTable([*ZONES, shipping_zone([{}], shipping_method("world", 3000))])
    assert table.choose(place_of("FR", None, "75001"), "standard", 1, 0, "EUR") == ShippingChoice("world", 3000)
    assert table.choose(BERLIN, "standard", 1, 0, "EUR") == ShippingChoice("parcel", 490)


def banded_method(bands: list[dict[str, Any]], kind: str = "subtotal") -> ShippingMethod:
    body = {"code": "parcel", "name": "Parcel", "kind": kind, "prices": bands}
    return ShippingMethod.model_validate_json(orjson.dumps(body))


def test_bands_are_half_open() -> None:
    bands = [
        {"to": 1000, "price": {"amount": 500, "currency": "EUR"}},
        {"from": 1000, "to": 3000, "price": {"amount": 300, "currency": "EUR"}},
        {"from": 4000, "price": {"amount": 100, "currency": "EUR"}},
    ]
    method = banded_method(bands)
    found = [price_of(method, subtotal, 0, "EUR") for subtotal in (0, 999, 1000, 2999, 3000, 3999, 4000, 10**12)]
    assert found == [500, 500, 300, 300, None, None, 100, 100]
    for wrong in (
        [bands[0], {**bands[1], "from": 999}],
        [bands[2], {**bands[2], "from": 5000}],
        [{**bands[0], "to": 0}],
    ):
        with pytest.raises(ValidationError):
            banded_method(wrong)


prices_by_weight = st.lists(st.tuples(st.integers(1, 5_000), st.integers(0, 10_000)), min_size=1, max_size=5)


@given(prices_by_weight, st.booleans(), st.integers(0, 30_000), st.integers(0, 10**9))
def test_a_weight_has_the_price_of_the_one_band_that_contains_it(
    bands: list[tuple[int, int]],
    has_limit: bool,  # noqa: FBT001
    weight_grams: int,
    subtotal: int,
) -> None:
    """Bands that follow each other, each with its width in grams and its price; the subtotal does not matter."""
    bodies: list[dict[str, Any]] = []
    low = 0
    for width, price in bands:
        bodies.append({"from": low, "to": low + width, "price": {"amount": price, "currency": "EUR"}})
        low += width
    if not has_limit:
        bodies[-1]["to"] = None
    expected = next(
        (
            body["price"]["amount"]
            for body in bodies
            if weight_grams >= body["from"] and (body["to"] is None or weight_grams < body["to"])
        ),
        None,
    )
    method = banded_method(bodies[::-1], "weight")
    assert price_of(method, subtotal, weight_grams, "EUR") == expected
    assert price_of(method, subtotal, weight_grams, "USD") is None


def test_shipping_by_weight_is_free_from_a_subtotal_on() -> None:
    heavy = banded_method([{"price": {"amount": 900, "currency": "EUR"}}], "weight")
    method = heavy.model_copy(update={"free_over": [Money(amount=5000, currency="EUR")]})
    assert [price_of(method, subtotal, 70_000, "EUR") for subtotal in (4999, 5000)] == [900, 0]


PARCELS: dict[str, Any] = {
    "kind": ShippingMethodKind.WEIGHT,
    "prices": [
        {"to": 1000, "price": {"amount": 400, "currency": "EUR"}},
        {"from": 1000, "to": 20_000, "price": {"amount": 900, "currency": "EUR"}},
    ],
}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([GoodsLine(100, 3, weight_grams=333)], ("parcel", 400)),
        ([GoodsLine(100, 2, weight_grams=500)], ("parcel", 900)),
        ([GoodsLine(100, 999)], ("parcel", 400)),
        ([GoodsLine(100, 1, weight_grams=20_000)], None),
        (
            [GoodsLine(100, 1, weight_grams=999), GoodsLine(9, 9, requires_shipping=False, weight_grams=9)],
            ("parcel", 400),
        ),
        ([GoodsLine(100, 9, requires_shipping=False, weight_grams=99_999)], ("none", 0)),
    ],
    ids=["light", "units add up", "no weight", "too heavy", "a download weighs nothing", "downloads only"],
)
def test_the_shipped_goods_of_an_order_are_weighed(lines: list[GoodsLine], expected: tuple[str, int] | None) -> None:
    all_rules = rules(TaxSettings(), RATES, shipping_method("parcel", 0, **PARCELS))
    if expected is None:
        with pytest.raises(NotDeliverable):
            price_order(lines, "EUR", "standard", BERLIN, all_rules, AT)
    else:
        priced = price_order(lines, "EUR", "standard", BERLIN, all_rules, AT)
        assert (priced.shipping_method, priced.shipping.amount) == expected


def test_what_is_not_shipped_can_be_ordered_from_everywhere() -> None:
    nowhere = PricingRules(1, TaxSettings(), TaxTable(RATES), ShippingTable(ZONES))
    norway = place_of("NO", None, "0010")
    download = GoodsLine(1000, 1, requires_shipping=False)
    priced = price_order([download], "EUR", "express", norway, nowhere, AT)
    assert (priced.shipping_method, priced.shipping.amount, priced.total.amount) == ("none", 0, 1000)
    with pytest.raises(NotDeliverable):
        price_order([download, GoodsLine(1, 1)], "EUR", "standard", norway, nowhere, AT)
