"""Conditional requests to the whole shop, through Nginx: a read follows every byte, a write the version only."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.catalog import Product
from infra.foundation.ids import new_id
from tests.edge.test_bad_input import assert_problem, order_of
from tests.support.eventually import eventually
from tests.support.http import HttpClient, HttpResponse, RegisteredCustomer

NewProduct = Callable[..., Awaitable[Product]]


UNCOMPRESSED = {"Accept-Encoding": "identity"}
"""Nginx makes the ETag of a reply that it compresses a weak one."""


def validators_of(response: HttpResponse) -> tuple[str, str, set[str]]:
    """What a cache needs to know, without what Nginx says of compression."""
    varies = set(response.headers.getall("Vary", ())) - {"Accept-Encoding"}
    return response.headers["ETag"], response.headers["Cache-Control"], varies


async def etag_of(http: HttpClient, path: str) -> str:
    """The ETag, after checking that it answers 304 with the headers of the 200."""
    response = await http.get(path, headers=UNCOMPRESSED)
    assert response.status == 200, response.body
    etag: str = response.headers["ETag"]
    for value in (etag, f"W/{etag}", f'"1.other", {etag}', "*"):
        again = await http.get(path, headers={**UNCOMPRESSED, "If-None-Match": value})
        assert (again.status, again.body) == (304, b""), value
        assert validators_of(again) == validators_of(response)
    return etag


async def version_of(http: HttpClient, path: str) -> str:
    """The part of the ETag before the dot."""
    etag: str = (await http.get(path, headers=UNCOMPRESSED)).headers["ETag"]
    return etag.strip('"').partition(".")[0]


async def test_a_compressed_reply_has_the_same_etag_but_weak(http: HttpClient, new_product: NewProduct) -> None:
    path = f"/products/{(await new_product(description='Solid brass. ' * 100)).id}"
    etag = await etag_of(http, path)
    response = await http.get(path, headers={"Accept-Encoding": "gzip"})
    assert response.headers["ETag"] == f"W/{etag}"
    assert "Accept-Encoding" in response.headers.getall("Vary")
    assert (await http.get(path, headers={"If-None-Match": response.headers["ETag"]})).status == 304


async def test_a_product_s_etag_changes_with_its_stock(admin_http: HttpClient, new_product: NewProduct) -> None:
    product = await new_product(stock=1)
    path, sku = f"/products/{product.id}", product.variants[0].sku
    before = await etag_of(admin_http, path)
    adjustment = {"set": 0, "reason": "counted"}
    assert (await admin_http.post(f"/inventory/{sku}/adjustments", adjustment)).status == 200
    response = await admin_http.get(path, headers={"If-None-Match": before})
    assert (response.status, response.json["variants"][0]["available"]) == (200, 0)
    after = await etag_of(admin_http, path)
    assert after != before
    assert after.partition(".")[0] == before.partition(".")[0]


async def test_a_product_s_etag_changes_with_its_category(admin_http: HttpClient, new_product: NewProduct) -> None:
    category = (await admin_http.post("/categories", {"name": f"Tools {new_id().hex}"})).json
    product = await new_product(category_id=category["id"])
    before = await etag_of(admin_http, f"/products/{product.slug}")
    renamed = {"name": f"Hand tools {new_id().hex}", "slug": f"hand-{new_id().hex}"}
    assert (await admin_http.put(f"/categories/{category['id']}", renamed)).status == 200
    response = await admin_http.get(f"/products/{product.slug}", headers={"If-None-Match": before})
    assert (response.status, response.json["category"]) == (200, renamed["slug"])


async def test_the_public_cache_follows_the_stock(
    http: HttpClient, admin_http: HttpClient, new_product: NewProduct
) -> None:
    product = await new_product(stock=2)
    path = f"/products/{product.id}"
    before = await etag_of(http, path)
    adjustment = {"delta": 1, "reason": "found"}
    assert (await admin_http.post(f"/inventory/{product.variants[0].sku}/adjustments", adjustment)).status == 200

    async def new_stock() -> bool:
        response = await http.get(path, headers={"If-None-Match": before})
        return response.status == 200 and response.json["variants"][0]["available"] == 3

    await eventually(new_stock)


async def test_a_cart_s_etag_changes_with_its_prices(
    http: HttpClient, admin_http: HttpClient, new_product: NewProduct
) -> None:
    product = await new_product(price=1000)
    cart = (await http.post("/carts")).json
    path = f"/carts/{cart['id']}"
    line = {"sku": product.variants[0].sku, "quantity": 1}
    written = await http.post(f"{path}/items", line)
    before = written.headers["ETag"]
    assert (await http.get(path)).headers["ETag"].partition(".")[0] == before.partition(".")[0]
    before = await etag_of(http, path)
    change = {"price": {"amount": 1234, "currency": "USD"}}
    assert (await admin_http("PATCH", f"/products/{product.id}", change)).status == 200

    async def new_price() -> bool:
        response = await http.get(path, headers={"If-None-Match": before})
        return response.status == 200 and response.json["items"][0]["unit_price"]["amount"] == 1234

    await eventually(new_price)


async def test_an_order_s_etag_changes_with_its_status(customer: RegisteredCustomer, new_product: NewProduct) -> None:
    placed = await customer.http.post("/orders", order_of(await new_product()))
    path = f"/orders/{placed.json['id']}"
    before = await etag_of(customer.http, path)
    assert (await customer.http.post(f"{path}/cancel")).status == 200
    response = await customer.http.get(path, headers={"If-None-Match": before})
    assert (response.status, response.json["status"]) == (200, "cancelled")


@pytest.mark.parametrize("form", ['"{0}"', '"{0}.0123456789abcdef"', 'W/"{0}.ab"', '"x", "1000.y", W/"{0}.ab-gzip"'])
async def test_a_write_is_accepted_by_its_version(
    admin_http: HttpClient, customer: RegisteredCustomer, new_product: NewProduct, form: str
) -> None:
    for http, method, path, body in await _conditional_writes(admin_http, customer, new_product):
        outdated = {"If-Match": form.format(await version_of(http, path)).replace("1000.y", "1001.y")}
        assert (await http(method, path, body, headers=outdated)).status == 200, path
        assert_problem(await http(method, path, body, headers=outdated), 412, "precondition_failed")
        assert_problem(
            await http(method, path, body, headers={"If-Match": '"99999999999"'}), 412, "precondition_failed"
        )


async def _conditional_writes(
    admin_http: HttpClient, customer: RegisteredCustomer, new_product: NewProduct
) -> list[tuple[HttpClient, str, str, Any]]:
    product = await new_product()
    order = (await customer.http.post("/orders", order_of(product))).json
    named = {"first_name": "Ada", "last_name": new_id().hex}
    address = {**order["shipping_address"], "name": "Grace Hopper"}
    return [
        (admin_http, "PATCH", f"/products/{product.id}", {"name": "Another name"}),
        (customer.http, "PUT", "/users/profile", named),
        (admin_http, "PUT", f"/users/{customer.user['id']}", named),
        (admin_http, "PUT", f"/orders/{order['id']}", {"shipping_address": address}),
    ]


async def test_a_line_of_a_cart_is_changed_by_the_cart_s_version(http: HttpClient, new_product: NewProduct) -> None:
    sku = (await new_product()).variants[0].sku
    path = f"/carts/{(await http.post('/carts')).json['id']}"
    assert (await http.post(f"{path}/items", {"sku": sku, "quantity": 1})).status == 200
    version = await version_of(http, path)
    if_match = {"If-Match": f'"99999999999.x", W/"{version}.ab"'}
    line = f"{path}/items/{sku}"
    assert (await http.put(line, {"quantity": 2}, headers=if_match)).status == 200
    assert_problem(await http.put(line, {"quantity": 3}, headers=if_match), 412, "precondition_failed")
    assert_problem(await http.delete(line, headers=if_match), 412, "precondition_failed")
    assert (await http.get(path)).json["items"][0]["quantity"] == 2
