"""Requests of the access tests about tax rates, shipping zones, coupons and gift cards."""

from contracts import gift_cards, order
from contracts.access import CallerKind
from contracts.operation import AnyOperation
from tests.access.fixtures import AccessFixtures, coupon_body, gift_card_body, tax_rate_body
from tests.access.sample_request import RequestFactory, SampleRequest, named, plain


async def _create_tax_rate(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body=tax_rate_body())


async def _replace_tax_rate(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest({"id": await fixtures.create_tax_rate()}, tax_rate_body())


async def _create_coupon(_fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body=coupon_body())


async def _replace_coupon(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest({"id": await fixtures.create_coupon()}, coupon_body())


async def _create_shipping_zone(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest(body=await fixtures.shipping_zone_body())


async def _replace_shipping_zone(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    return SampleRequest({"id": await fixtures.create_shipping_zone()}, await fixtures.shipping_zone_body())


async def _find_gift_card(fixtures: AccessFixtures, _caller: CallerKind) -> SampleRequest:
    issued = await fixtures.admin.http.post("/gift-cards", gift_card_body())
    return SampleRequest(body={"code": issued.json["code"]})


PRICING_REQUESTS: dict[AnyOperation, RequestFactory] = {
    order.LIST_TAX_RATES: plain(query="?limit=1"),
    order.GET_TAX_RATE: named(AccessFixtures.create_tax_rate),
    order.CREATE_TAX_RATE: _create_tax_rate,
    order.REPLACE_TAX_RATE: _replace_tax_rate,
    order.DELETE_TAX_RATE: named(AccessFixtures.create_tax_rate),
    order.GET_TAX_SETTINGS: plain(),
    order.REPLACE_TAX_SETTINGS: plain({}),
    order.LIST_SHIPPING_ZONES: plain(query="?limit=1"),
    order.GET_SHIPPING_ZONE: named(AccessFixtures.create_shipping_zone),
    order.CREATE_SHIPPING_ZONE: _create_shipping_zone,
    order.REPLACE_SHIPPING_ZONE: _replace_shipping_zone,
    order.DELETE_SHIPPING_ZONE: named(AccessFixtures.create_shipping_zone),
    order.LIST_COUPONS: plain(query="?limit=1"),
    order.GET_COUPON: named(AccessFixtures.create_coupon),
    order.CREATE_COUPON: _create_coupon,
    order.REPLACE_COUPON: _replace_coupon,
    order.DELETE_COUPON: named(AccessFixtures.create_coupon),
    order.CREATE_COUPON_CODES: named(AccessFixtures.create_coupon, {"count": 1}),
    gift_cards.LIST_GIFT_CARDS: plain(query="?limit=1"),
    gift_cards.GET_GIFT_CARD: named(AccessFixtures.create_gift_card),
    gift_cards.ISSUE_GIFT_CARD: plain(gift_card_body()),
    gift_cards.DISABLE_GIFT_CARD: named(AccessFixtures.create_gift_card, {}),
    gift_cards.FIND_GIFT_CARD: _find_gift_card,
}
