"""SKUs of any printable characters work everywhere: in paths through Nginx, carts, orders, stock and lists."""

from typing import Any
from urllib.parse import quote

import pytest

from infra.foundation.ids import new_id
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer

PRICE = {"amount": 500, "currency": "USD"}

SKUS = {
    "blank and signs": "{0} #1 (x)+y?z&a=b;c,d",
    "percent and quotes": "50%{0}%2F\"'`\\",
    "accents": "Größe-é-{0}",
    "Japanese": "製品・{0}",
    "beyond the basic plane": "🧺{0}",
    "dollar and dots": "$set.{0}.$lines",
    "only a dollar name": "${0}",
    "slashes": "a/{0}/b",
    "colons and stars": "*.>:{0}|{{}}[]",
    "a dash first": "-{0}",
    "255 characters of four bytes": "{0}" + "\U0001d11e" * 223,
}


async def stock_of(admin_http: HttpClient, sku: str) -> dict[str, Any]:
    response = await admin_http.get(f"/inventory/{quote(sku, safe='')}")
    assert response.status == 200, response.body
    level: dict[str, Any] = response.json
    return level


@pytest.mark.parametrize("pattern", SKUS.values(), ids=SKUS)
async def test_a_sku_from_the_shelf_to_the_parcel(
    admin_http: HttpClient, customer: RegisteredCustomer, pattern: str
) -> None:
    sku = pattern.format(new_id().hex)
    created = await admin_http.post("/products", {"name": "Basket", "sku": sku, "price": PRICE, "stock": 5})
    assert created.status == 201, created.body
    path = quote(sku, safe="")
    adjusted = await admin_http.post(f"/inventory/{path}/adjustments", {"delta": 2, "reason": "found"})
    assert (adjusted.status, adjusted.json["sku"], adjusted.json["on_hand"]) == (200, sku, 7)
    cart = (await customer.http.post("/carts")).json["id"]
    added = await customer.http.post(f"/carts/{cart}/items", {"sku": sku, "quantity": 1})
    assert added.status in {200, 201}, added.body
    changed = await customer.http.put(f"/carts/{cart}/items/{path}", {"quantity": 3})
    assert [(item["sku"], item["quantity"]) for item in changed.json["items"]] == [(sku, 3)]
    body = {"cart_id": cart, "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    order = await customer.http.post("/orders", body)
    assert order.status == 201, order.body
    assert [item["sku"] for item in order.json["items"]] == [sku]

    async def is_sold() -> bool:
        level = await stock_of(admin_http, sku)
        return (level["on_hand"], level["reserved"]) == (4, 0)

    await eventually(is_sold)
    audit = await admin_http.get(f"/audit/catalog?subject={path}")
    assert {entry["subject"] for entry in audit.json["items"]} == {sku}


async def test_a_line_is_removed_by_its_sku(admin_http: HttpClient, customer: RegisteredCustomer) -> None:
    skus = [pattern.format(new_id().hex) for pattern in SKUS.values()]
    cart = (await customer.http.post("/carts")).json["id"]
    for sku in skus:
        await admin_http.post("/products", {"name": "Basket", "sku": sku, "price": PRICE, "stock": 5})
        await customer.http.post(f"/carts/{cart}/items", {"sku": sku, "quantity": 1})
    for position, sku in enumerate(skus, 1):
        left = await customer.http.delete(f"/carts/{cart}/items/{quote(sku, safe='')}")
        assert [item["sku"] for item in left.json["items"]] == skus[position:]


async def test_a_list_of_stock_goes_on_after_a_long_sku(admin_http: HttpClient) -> None:
    skus = sorted(("🧺" * 220 + end + new_id().hex) for end in "abc")
    for sku in skus:
        body = {"name": "Basket", "sku": sku, "price": PRICE, "stock": 5}
        assert (await admin_http.post("/products", body)).status == 201
    found: list[str] = []
    after = ""
    while True:
        page = await admin_http.get(f"/inventory?limit=100{after}")
        assert page.status == 200, page.body
        found += [level["sku"] for level in page.json["items"]]
        if page.json["next"] is None:
            break
        after = f"&after={page.json['next']}"
    assert [sku for sku in found if sku in skus] == skus
    first = await admin_http.get("/inventory?limit=1")
    assert first.status == 200


NOT_SKUS = ["", " ", " a", "a ", "a\tb", "a\nb", "a\u200bb", "a\u202eb", ".", "..", "a/../b", "s" * 256]


@pytest.mark.parametrize("sku", NOT_SKUS)
async def test_what_cannot_be_seen_or_named_is_no_sku(admin_http: HttpClient, sku: str) -> None:
    refused = await admin_http.post("/products", {"name": "Basket", "sku": sku, "price": PRICE})
    assert (refused.status, [error["pointer"] for error in refused.json["errors"]]) == (422, ["/sku"])
