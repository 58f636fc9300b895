"""The starter set: its figures, and that loading it again changes nothing."""

from datetime import UTC, datetime

import orjson

from contracts.countries import EU_COUNTRIES
from contracts.order import ShippingZone, ShippingZoneFields, TaxRate, TaxRateFields
from infra.foundation.ids import new_id
from infra.ops.cli.admin_client import AdminApi, ensure_admin, log_in
from infra.ops.cli.starter_tax_and_shipping import StarterSet, load_starter_set, read_starter_set
from infra.ops.devstack.stack import Stack
from services.order.domain.applicable_taxes import TaxTable, overlaps
from services.order.domain.places import Place, place_of
from services.order.domain.shipping import ShippingTable, find_taken_place

AT = datetime(2026, 1, 1, tzinfo=UTC)
SET = read_starter_set()
FIELDS = [TaxRateFields.model_validate_json(orjson.dumps(body)) for body in SET.tax_rates]
RATES = [TaxRate(id=new_id(), **fields.model_dump()) for fields in FIELDS]
ZONES = [
    ShippingZone(id=new_id(), **ShippingZoneFields.model_validate_json(orjson.dumps(body)).model_dump(by_alias=True))
    for body in SET.shipping_zones
]


def rates_at(place: Place) -> list[int]:
    return [rate.rate_ppm for rate in TaxTable(RATES).rates_at(place, "standard", AT)]


def test_the_set_is_complete_and_consistent() -> None:
    assert {rate.country for rate in RATES if rate.postal_prefix is None} == EU_COUNTRIES
    for position, (fields, rate) in enumerate(zip(FIELDS, RATES, strict=True)):
        assert not any(overlaps(fields, other) for other in RATES[position + 1 :]), rate
    assert [find_taken_place(zone, ()) for zone in map(_fields, ZONES)] == [None, None]
    assert find_taken_place(_fields(ZONES[0]), ZONES[1:]) is None
    assert sum(len(zone.methods) for zone in ZONES) == 3


def _fields(zone: ShippingZone) -> ShippingZoneFields:
    return ShippingZoneFields(name=zone.name, places=zone.places, methods=zone.methods)


def test_what_the_set_charges() -> None:
    assert rates_at(place_of("FI", None, "00100")) == [255_000]
    assert rates_at(place_of("ES", None, "28013")) == [210_000]
    assert rates_at(place_of("ES", None, "35001")) == [0]
    assert rates_at(place_of("US", "Florida", "33101")) == [60_000, 10_000]
    assert rates_at(place_of("US", None, "34101")) == [60_000]
    shipping = ShippingTable(ZONES)
    assert shipping.choose(place_of("FR", None, "75001"), "standard", 4999, 0, "EUR").price == 490
    assert [shipping.choose(Place("US"), "standard", subtotal, 0, "USD").price for subtotal in (2499, 2500, 7500)] == [
        495,
        795,
        0,
    ]


async def test_loading_it_again_changes_nothing(stack: Stack) -> None:
    place = {"country": "AQ", "postal_prefix": new_id().hex[-12:]}
    rate = {**place, "rate_ppm": 10_000, "name": "Ice tax"}
    zone = {"name": "Ice", "places": [place], "methods": SET.shipping_zones[0]["methods"]}
    wanted = StarterSet(SET.as_of, [rate, {**rate, "priority": 2}], [zone])
    async with log_in(stack.http_url, (await ensure_admin(stack)).credentials) as api:
        try:
            assert [await load_starter_set(api, wanted) for _ in range(2)] == [(2, 1), (0, 0)]
        finally:
            await _remove(api, "/tax-rates", "Ice tax")
            await _remove(api, "/shipping-zones", "Ice")


async def _remove(api: AdminApi, path: str, name: str) -> None:
    after = ""
    while True:
        page = await api.get(f"{path}?limit=100{after}")
        for one in page["items"]:
            if one["name"] == name:
                await api.request("DELETE", f"{path}/{one['id']}", lambda: None)
        if not page["next"]:
            return
        after = f"&after={page['next']}"
