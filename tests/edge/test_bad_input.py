"""Invalid requests to the whole shop, over HTTP through Nginx: refused with the right problem and without effect."""

import io
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from yarl import URL

from contracts.catalog import Product
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.edge.token_signing import TokenSigner, hmac_signed_token, unsigned_token, valid_claims
from tests.support.http import ADDRESS, HttpClient, HttpResponse, RegisteredCustomer, register_customer

NewProduct = Callable[..., Awaitable[Product]]
MEBIBYTE = 1024 * 1024


def assert_problem(response: HttpResponse, status: int, code: str, pointer: str | None = None) -> None:
    """Checks that a response is a complete problem with this status, code and pointer."""
    assert response.status == status, response.body
    problem = response.json
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert {"type", "title", "detail"} <= problem.keys()
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem["errors"]


def order_of(product: Product, **changed: Any) -> dict[str, Any]:
    return {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "shipping_address": ADDRESS, **changed}


@pytest.mark.parametrize(
    "text", [b"{", b"{'a': 1}", b'{"a": NaN}', b'{"a": 1,}', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 9000]
)
@pytest.mark.parametrize("path", ["/auth/login", "/auth/register", "/orders", "/carts/mine/items"])
async def test_a_body_that_is_not_json(http: HttpClient, path: str, text: bytes) -> None:
    response = await http.post(path, data=text, headers={"Content-Type": "application/json"})
    assert_problem(response, 400, "malformed")


@pytest.mark.parametrize("text", [b"[]", b"null", b"17", b'"text"'])
async def test_a_body_that_is_not_an_object(http: HttpClient, text: bytes) -> None:
    assert_problem(
        await http.post("/orders", data=text, headers={"Content-Type": "application/json"}), 422, "invalid", ""
    )


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/auth/register", {}, "/email"),
        ("/auth/register", {"email": 7}, "/email"),
        ("/auth/register", {"email": "nobody"}, "/email"),
        ("/auth/register", {"email": "a@b.example\r\nBcc: all@c.example"}, "/email"),
        ("/auth/register", {"email": "a" * 250 + "@b.example"}, "/email"),
        ("/auth/register", {"email": "a..b@c.example"}, "/email"),
        ("/auth/register", {"email": "a@[192.0.2.1]"}, "/email"),
        ("/orders", {"email": "a.@b.example"}, "/email"),
        ("/orders", {"email": "a@b..example"}, "/email"),
        ("/auth/register", {"password": "short"}, "/password"),
        ("/auth/register", {"password": "ü" * 37}, "/password"),
        ("/auth/register", {"first_name": "x" * 101}, "/first_name"),
        ("/auth/register", {"first_name": "a\x00b"}, "/first_name"),
        ("/auth/register", {"first_name": "a\r\nb"}, "/first_name"),
        ("/auth/register", {"first_name": ""}, "/first_name"),
        ("/auth/register", {"role": "admin"}, "/role"),
        ("/auth/login", {"email": {"$gt": ""}}, "/email"),
        ("/auth/login", {"email": ["a@b.example"]}, "/email"),
        ("/auth/refresh", {"refresh_token": ""}, "/refresh_token"),
        ("/carts/mine/merge", {"cart_id": {"$gt": ""}}, "/cart_id"),
        ("/payments", {"order_id": "7", "payment_method": "sim_ok"}, "/order_id"),
        ("/payments", {"order_id": 7}, "/payment_method"),
    ],
)
async def test_invalid_fields(customer: RegisteredCustomer, path: str, body: dict[str, Any], pointer: str) -> None:
    assert_problem(await customer.http.post(path, body), 422, "invalid", pointer)


async def test_an_email_that_the_mail_server_does_not_take(http: HttpClient) -> None:
    body = {"email": "josé@b.example", "password": "correct horse", "first_name": "José", "last_name": "López"}
    assert_problem(await http.post("/auth/register", body), 422, "invalid", "/email")
    order = {"items": [{"sku": "NO-1", "quantity": 1}], "shipping_address": ADDRESS, "email": body["email"]}
    assert_problem(await http.post("/orders", order), 422, "invalid", "/email")
    ascii_name = {**body, "email": f"{new_id().hex}@bücher.example"}
    assert (await http.post("/auth/register", ascii_name)).status == 201


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": [{"sku": "A", "quantity": 0}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": -1}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": 1000}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": 10**18}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": 1.5}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": "1"}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A", "quantity": True}]}, "/items/0/quantity"),
        ({"items": [{"sku": "A\nb", "quantity": 1}]}, "/items/0/sku"),
        ({"items": [{"sku": "A", "quantity": 1, "price": 1}]}, "/items/0/price"),
        ({"items": [{"quantity": 1}]}, "/items/0"),
        ({"items": [{"sku": "A", "quantity": 1}] * 101}, "/items"),
        ({"total": {"amount": 1, "currency": "USD"}}, "/total"),
        ({"user_id": str(new_id())}, "/user_id"),
        ({"status": "paid"}, "/status"),
        ({"cart_id": "mine"}, ""),
        ({"shipping_address": {**ADDRESS, "country": "Britain"}}, "/shipping_address/country"),
        ({"shipping_address": {**ADDRESS, "name": "x" * 201}}, "/shipping_address/name"),
        ({"shipping_address": None}, "/shipping_address"),
        ({"payment_method": {"$ne": ""}}, "/payment_method"),
        ({"shipping_method": "teleport"}, "/shipping_method"),
    ],
)
async def test_invalid_orders(customer: RegisteredCustomer, changed: dict[str, Any], pointer: str) -> None:
    body = {"items": [{"sku": "A", "quantity": 1}], "shipping_address": ADDRESS, **changed}
    assert_problem(await customer.http.post("/orders", body), 422, "invalid", pointer)
    assert (await customer.http.get("/orders")).json["items"] == []


async def test_a_number_beyond_64_bits(customer: RegisteredCustomer) -> None:
    text = b'{"items": [{"sku": "A", "quantity": 1' + b"0" * 40 + b"}]}"
    response = await customer.http.post("/orders", data=text, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "invalid", "/items/0/quantity")


async def test_products_that_are_not_on_sale(
    http: HttpClient, admin_http: HttpClient, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    unknown_sku = {"items": [{"sku": f"NO-{new_id().hex}", "quantity": 1}], "shipping_address": ADDRESS}
    assert_problem(await customer.http.post("/orders", unknown_sku), 404, "sku_unknown")
    inactive = await new_product()
    assert (await admin_http.delete(f"/products/{inactive.id}")).status == 204
    assert_problem(await customer.http.post("/orders", order_of(inactive)), 404, "sku_unknown")
    line = {"sku": inactive.variants[0].sku, "quantity": 1}
    assert_problem(await customer.http.post("/carts/mine/items", line), 404, "sku_unknown")


async def test_prices_in_another_currency(admin_http: HttpClient) -> None:
    body = {"name": "A lamp", "sku": f"C-{new_id().hex}", "price": {"amount": 1, "currency": "JPY"}}
    assert_problem(await admin_http.post("/products", body), 422, "currency_mismatch")
    for price in (
        {"amount": 1, "currency": "XXX"},
        {"amount": 1.5, "currency": "USD"},
        {"amount": -1, "currency": "USD"},
    ):
        response = await admin_http.post("/products", {**body, "price": price})
        assert (response.status, response.code) == (422, "invalid")


async def test_orders_and_carts_of_other_customers_are_not_found(
    http: HttpClient, customer: RegisteredCustomer, new_product: NewProduct
) -> None:
    other = await register_customer(http)
    order = (await customer.http.post("/orders", order_of(await new_product()))).json
    await customer.http.post("/carts", {})
    cart = (await customer.http.get("/carts/mine")).json
    paying = {"payment_method": "sim_ok"}
    for response in (
        await other.http.get(f"/orders/{order['id']}"),
        await other.http.delete(f"/orders/{order['id']}"),
        await other.http.post(f"/orders/{order['id']}/cancel"),
        await other.http.post(f"/orders/{order['id']}/pay", paying),
        await other.http.post("/payments", {"order_id": order["id"], **paying}),
        await other.http.get(f"/carts/{cart['id']}"),
        await other.http.post(f"/carts/{cart['id']}/items", {"sku": order["items"][0]["sku"], "quantity": 1}),
    ):
        assert_problem(response, 404, "not_found")
    assert (await customer.http.get(f"/orders/{order['id']}")).json["status"] == "pending"


@pytest.mark.parametrize("bad", ["7", "not-an-id", "*", "%3E", "%20", "%00", "..%2f..%2fmetrics", "a" * 2000, "%ff"])
async def test_invalid_ids(customer: RegisteredCustomer, bad: str) -> None:
    url = URL(f"{customer.http.url}/api/v1/orders/{bad}", encoded=True)
    async with customer.http.session.get(url, headers={"Authorization": f"Bearer {customer.http.token}"}) as response:
        assert response.status == (400 if bad == "%00" else 404)
        assert response.content_type == "application/problem+json"


FORGER = TokenSigner()


async def _tokens(http: HttpClient) -> dict[str, str]:
    key = (await http.get("//.well-known/jwks.json")).json["keys"][0]
    admin = {**valid_claims(), "role": "admin"}
    forged = FORGER.token({"kid": key["kid"]}, role="admin")
    return {
        "none": unsigned_token(admin, kid=key["kid"]),
        "hs256": hmac_signed_token(admin, orjson.dumps(key), key["kid"]),
        "forged": forged,
        "unknown kid": FORGER.token({"kid": "another"}),
        "jku": FORGER.token({"jku": "http://127.0.0.1/jwks.json", "kid": key["kid"]}),
        "aud": FORGER.token(aud="elsewhere"),
        "iss": FORGER.token(iss="elsewhere"),
        "typ": FORGER.token(typ="refresh"),
        "expired": FORGER.token(exp=int(time.time()) - 60),
        "nonsense": "nonsense",
        "long": "x" * 5000,
    }


async def test_forged_tokens(http: HttpClient, customer: RegisteredCustomer) -> None:
    access, refresh = customer.session["access_token"], customer.session["refresh_token"]
    header, claims, signature = access.split(".")
    forged = {
        **(await _tokens(http)),
        "refresh as access": refresh,
        "cut off": access[:-6],
        "other claims": f"{header}.{unsigned_token(valid_claims()).split('.')[1]}.{signature}",
        "no signature": f"{header}.{claims}.",
    }
    for name, token in forged.items():
        for path in ("/users/profile", "/carts/mine"):
            response = await http.with_token(token).get(path)
            assert response.status == 401, (name, path)
            assert_problem(response, 401, "invalid_token")
            assert response.headers["WWW-Authenticate"].startswith("Bearer ")


async def test_missing_tokens_and_missing_permissions(http: HttpClient, customer: RegisteredCustomer) -> None:
    for method, path in (("GET", "/orders"), ("GET", "/users/profile"), ("POST", "/payments"), ("POST", "/products")):
        response = await http(method, path, {} if method == "POST" else None)
        assert_problem(response, 401, "unauthorized")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="souk"'
    for method, path in (("POST", "/products"), ("GET", "/inventory"), ("DELETE", f"/products/{new_id()}")):
        assert_problem(await customer.http(method, path, {} if method == "POST" else None), 403, "forbidden")


@pytest.mark.parametrize("path", ["/products", "/products/search", "/categories"])
@pytest.mark.parametrize(
    "cursor", ["x", "e30", "W10", "bm9uc2Vuc2U", "WyJhIiwiYiIsImMiLCJkIl0", "!!", "a" * 1025, "%20"]
)
async def test_invalid_cursors(http: HttpClient, path: str, cursor: str) -> None:
    response = await http.get(f"{path}?after={cursor}")
    assert response.status == 400, response.body
    assert response.code in {"bad_cursor", "malformed"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "nonsense=1", "q=%00", "q=%ff", "sort=best"])
async def test_invalid_queries(http: HttpClient, query: str) -> None:
    async with http.session.get(URL(f"{http.url}/api/v1/products?{query}", encoded=True)) as response:
        assert response.status == 400
        assert orjson.loads(await response.read())["code"] == "malformed"


@pytest.mark.parametrize("timestamp", ["0.5", "2026", "-5", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00"])
async def test_invalid_timestamps(customer: RegisteredCustomer, timestamp: str) -> None:
    """A number is not a timestamp, although some parsers read it as seconds."""
    assert_problem(await customer.http.get(f"/orders?to={timestamp}"), 400, "malformed", "/to")


async def test_unknown_methods_and_paths(http: HttpClient) -> None:
    response = await http("PATCH", "/orders")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    for path in ("/", "/nothing", "/orders/", "/products/a/b/c", "//nothing", "//api/v2/products", "//.env"):
        assert_problem(await http.get(path), 404, "not_found")


async def test_unsupported_media_types(http: HttpClient, admin_http: HttpClient) -> None:
    response = await http.post("/auth/login", data=b"email=a", headers={"Content-Type": "text/plain"})
    assert_problem(response, 415, "unsupported_media_type")
    assert_problem(await admin_http.post("/products/import", {}), 415, "unsupported_media_type")
    assert_problem(await admin_http.post(f"/products/{new_id()}/images", {}), 415, "unsupported_media_type")


async def test_bodies_over_the_limit(http: HttpClient) -> None:
    body = io.BytesIO(b'{"email": "' + b"x" * MEBIBYTE + b'"}')
    response = await http.post("/auth/login", data=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 413, "payload_too_large")


@pytest.mark.parametrize("key", ["x" * 256, "ключ", "a\tb"])
async def test_invalid_idempotency_keys(http: HttpClient, key: str) -> None:
    assert_problem(await http.post("/carts", {}, headers={"Idempotency-Key": key}), 400, "invalid_idempotency_key")


async def test_an_idempotency_key_names_one_request(customer: RegisteredCustomer, new_product: NewProduct) -> None:
    product, key = await new_product(), new_id().hex
    first = await customer.http.post("/orders", order_of(product), key=key)
    again = await customer.http.post("/orders", order_of(product), key=key)
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    other = order_of(product, items=[{"sku": product.variants[0].sku, "quantity": 2}])
    assert_problem(await customer.http.post("/orders", other, key=key), 422, "idempotency_key_reused")


@pytest.mark.parametrize("number", ["4242424242424242", "4111 1111 1111 1111", "378282246310005"])
async def test_card_numbers_are_refused_and_not_logged(
    customer: RegisteredCustomer, new_product: NewProduct, stack: Stack, number: str
) -> None:
    order = (await customer.http.post("/orders", order_of(await new_product()))).json
    assert_problem(
        await customer.http.post("/orders", order_of(await new_product(), payment_method=number)),
        422,
        "card_number_refused",
    )
    paying = {"payment_method": number}
    assert_problem(await customer.http.post(f"/orders/{order['id']}/pay", paying), 422, "card_number_refused")
    assert_problem(
        await customer.http.post("/payments", {"order_id": order["id"], **paying}), 422, "card_number_refused"
    )
    for log in stack.data_dir.logs_dir.iterdir():
        assert number not in log.read_text(errors="replace"), log.name


async def test_an_outdated_version(admin_http: HttpClient, new_product: NewProduct) -> None:
    product = await new_product()
    path = f"/products/{product.id}"
    etag = (await admin_http.get(path)).headers["ETag"]
    if_match = {"If-Match": etag}
    assert (await admin_http("PATCH", path, {"name": "Another name"}, headers=if_match)).status == 200
    assert_problem(await admin_http("PATCH", path, {"name": "A third"}, headers=if_match), 412, "precondition_failed")
    for bad in ('"nonsense"', "7", '"98", "99"'):
        response = await admin_http("PATCH", path, {"name": "A third"}, headers={"If-Match": bad})
        assert_problem(response, 412, "precondition_failed")
    assert (await admin_http.get(path)).json["name"] == "Another name"
