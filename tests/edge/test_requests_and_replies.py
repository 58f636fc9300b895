"""The edge over a real NATS server: what reaches a service, and what its reply becomes."""

import io
import logging
from collections.abc import AsyncIterator

import orjson
import pytest

from contracts import headers
from contracts.catalog import OutOfStock
from contracts.registry import SERVICES
from edge.etags import format_etag
from infra.foundation.ids import new_id
from tests.edge.conftest import OpenEdge, StubServices
from tests.edge.token_signing import SUBJECT, TokenSigner
from tests.support.http import HttpClient

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
LAMP = "/products/brass-lamp"
ADD = {"sku": "A", "quantity": 1}


async def test_a_reply_passes_through_unchanged(edge: HttpClient, services: StubServices) -> None:
    body = b'{ "id" :"7", "more": [1.50] }\n'
    services.respond("catalog.get_product", body)
    response = await edge.get(LAMP)
    assert (response.status, response.body) == (200, body)
    assert response.headers["Content-Type"] == "application/json"
    assert orjson.loads(services.last_request.data) == {"key": "brass-lamp"}


async def test_a_request_carries_the_identity_and_the_client_ip(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    await edge.with_token(signer.token(role="admin")).get("/orders", headers={"X-Forwarded-For": "192.0.2.7"})
    received = services.last_request.headers
    assert received is not None
    assert orjson.loads(received[headers.IDENTITY]) == {"user_id": SUBJECT, "role": "admin"}
    assert received[headers.CLIENT_IP] == "192.0.2.7"
    assert 0 < int(received[headers.TIME_LEFT]) <= 10_000


async def test_a_client_cannot_set_its_identity(edge: HttpClient, services: StubServices) -> None:
    await edge.get(LAMP, headers={headers.IDENTITY: '{"user_id":"x","role":"admin"}', headers.IF_MATCH: "3"})
    assert headers.IDENTITY not in (services.last_request.headers or {})
    assert headers.IF_MATCH not in (services.last_request.headers or {})


async def test_a_trace_is_continued_and_a_request_id_echoed(edge: HttpClient, services: StubServices) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await edge.get(LAMP, headers={"traceparent": traceparent, "X-Request-Id": "mine"})
    received = services.last_request.headers or {}
    assert received[headers.TRACEPARENT].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert received[headers.REQUEST_ID] == response.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_an_invalid_trace_is_replaced(edge: HttpClient, services: StubServices, traceparent: str) -> None:
    await edge.get(LAMP, headers={"traceparent": traceparent})
    assert len((services.last_request.headers or {})[headers.TRACEPARENT]) == 55


@pytest.mark.parametrize("path", ["/nothing", "//nothing", "/products/%ff", "/orders", "/auth/login"])
async def test_every_response_has_a_request_id(edge: HttpClient, services: StubServices, path: str) -> None:
    response = await edge.get(path, headers={"X-Request-Id": "not sane"})
    assert response.json["request_id"] == response.headers["X-Request-Id"] != "not sane"


async def test_writes_are_logged_and_reads_are_not(
    edge: HttpClient, services: StubServices, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "souk.http"):
        await edge.get(LAMP + "?")
        await edge.post("/carts", {})
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert [(line["method"], line["route"], line["status"]) for line in fields] == [("POST", "/api/v1/carts", 201)]


async def test_a_created_resource_has_a_location(edge: HttpClient, services: StubServices) -> None:
    response = await edge.post("/carts", {})
    assert (response.status, response.headers["Location"]) == (201, "/api/v1/carts/7")
    services.respond("user.logout", b"{}")
    response = await edge.post("/auth/logout", {"refresh_token": "x"})
    assert (response.status, response.body) == (204, b"")


async def test_a_failure_passes_through_with_its_status(edge: HttpClient, services: StubServices) -> None:
    fail = OutOfStock("3 of A are left", retry_after=2.4)
    body = fail.to_json("theirs")
    services.respond("cart.add", body, Nats_Service_Error=fail.code, Nats_Service_Error_Code="409")
    response = await edge.post("/carts/c/items", ADD)
    assert (response.status, response.body) == (409, body)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Cache-Control"] == "no-store"


async def test_a_refused_login_names_the_scheme(edge: HttpClient, services: StubServices) -> None:
    services.respond("user.login", b'{"code":"x"}', Nats_Service_Error="x", Nats_Service_Error_Code="401")
    response = await edge.post("/auth/login", {"email": "a@b.c", "password": "x"})
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="souk"')


async def test_a_replayed_reply_is_marked(edge: HttpClient, services: StubServices) -> None:
    services.respond("cart.create", Souk_Replayed="true")
    key = new_id().hex
    response = await edge.post("/carts", {}, key=key)
    assert response.headers["Idempotent-Replayed"] == "true"
    assert (services.last_request.headers or {})[headers.IDEMPOTENCY_KEY] == key


@pytest.mark.parametrize("key", ["x" * 256, "é", "a\tb", ""])
async def test_an_invalid_idempotency_key_is_refused(edge: HttpClient, services: StubServices, key: str) -> None:
    response = await edge.post("/carts", {}, headers={"Idempotency-Key": key})
    assert (response.status, response.code) == (400, "invalid_idempotency_key")
    assert not services.requests


async def test_an_idempotency_key_can_be_required_where_money_moves(
    open_edge: OpenEdge, services: StubServices, signer: TokenSigner
) -> None:
    strict = (await open_edge(edge_idempotency_required=True)).http.with_token(signer.token(role="admin"))
    for path in ("/orders", f"/orders/{ID}/pay", "/payments", f"/payments/{ID}/refund"):
        response = await strict.post(path, {})
        assert (response.status, response.code) == (400, "idempotency_key_required"), path
    assert (await strict.post("/carts", {})).status == 201


async def test_an_etag_covers_what_changes_without_the_version(edge: HttpClient, services: StubServices) -> None:
    """A cart shows current prices and stock."""
    services.respond("cart.get", b'{"available":1}', Souk_Version="7")
    before = (await edge.get("/carts/c")).headers["ETag"]
    services.respond("cart.get", b'{"available":0}', Souk_Version="7")
    for etag in ('"7"', before):
        response = await edge.get("/carts/c", headers={"If-None-Match": etag})
        assert (response.status, response.json) == (200, {"available": 0})
    assert response.headers["ETag"] not in ('"7"', before)
    assert (await edge.get("/carts/c", headers={"If-None-Match": response.headers["ETag"]})).status == 304


async def test_versions_are_etags(edge: HttpClient, services: StubServices, signer: TokenSigner) -> None:
    mine = edge.with_token(signer.token())
    services.respond("order.get", Souk_Version="7")
    response = await mine.get(f"/orders/{ID}")
    etag = response.headers["ETag"]
    assert (etag, response.headers["Cache-Control"]) == (format_etag("7", response.body), "private, no-cache")
    again = await mine.get(f"/orders/{ID}", headers={"If-None-Match": f"W/{etag}"})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert again.headers["Cache-Control"] == "private, no-cache"
    await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": '"7"'})
    assert (services.last_request.headers or {})[headers.IF_MATCH] == "7"
    await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": 'W/"7.ab", "8.cd"'})
    assert (services.last_request.headers or {})[headers.IF_MATCH] == "7,8"
    await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": "*"})
    assert headers.IF_MATCH not in (services.last_request.headers or {})
    refused = await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": '"x"'})
    assert (refused.status, refused.code) == (412, "precondition_failed")


async def test_public_responses_are_cached_and_personal_ones_are_not(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    assert (await edge.get("/products")).headers["Cache-Control"] == "public, max-age=1"
    assert (await edge.with_token(signer.token()).get("/products")).headers["Cache-Control"] == "no-store"
    assert (await edge.get("/carts/c")).headers["Cache-Control"] == "no-store"
    services.respond("catalog.get_image", b"RIFF", Content_Type="image/webp")
    picture = await edge.get(f"//images/{ID}/320.webp")
    assert (picture.body, picture.headers["Content-Type"]) == (b"RIFF", "image/webp")
    assert picture.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_the_jwks_is_public(edge: HttpClient, signer: TokenSigner) -> None:
    assert (await edge.get("//.well-known/jwks.json")).json == signer.jwks().model_dump()


async def test_access_is_refused_before_a_service_is_called(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    response = await edge.get("/orders")
    assert (response.status, response.code, response.headers["WWW-Authenticate"]) == (
        401,
        "unauthorized",
        'Bearer realm="souk"',
    )
    response = await edge.with_token(signer.token()).post("/products", {})
    assert (response.status, response.code) == (403, "forbidden")
    response = await edge.with_token("nonsense").get("/carts/mine")
    assert (response.status, response.code) == (401, "invalid_token")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert not services.requests


async def test_head_and_options(edge: HttpClient, services: StubServices) -> None:
    response = await edge("HEAD", LAMP)
    assert (response.status, response.body) == (200, b"")
    response = await edge("OPTIONS", "/orders")
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    response = await edge("PATCH", "/orders")
    assert (response.status, response.code, response.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET, HEAD, POST, OPTIONS",
    )


async def test_pages_of_allowed_origins_may_call(open_edge: OpenEdge, services: StubServices) -> None:
    http = (await open_edge(edge_cors_origins="https://shop.example, https://b.example")).http
    ours, theirs = {"Origin": "https://shop.example"}, {"Origin": "https://shop.example.evil"}
    response = await http.get(LAMP, headers=ours)
    assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Origin" in response.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    preflight = await http("OPTIONS", "/orders", headers=ours)
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in (await http.get(LAMP, headers=theirs)).headers


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("text/csv", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
async def test_a_body_needs_its_content_type(
    edge: HttpClient, services: StubServices, content_type: str, status: int
) -> None:
    response = await edge.post("/carts/c/items", data=orjson.dumps(ADD), headers={"Content-Type": content_type})
    assert response.status == status


async def test_a_compressed_body_is_refused(edge: HttpClient, services: StubServices) -> None:
    compressed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await edge.post("/carts/c/items", data=b"\x1f\x8b", headers=compressed)
    assert (response.status, response.code) == (415, "unsupported_media_type")


async def test_a_request_without_a_body_needs_no_content_type(
    edge: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    assert (await edge.with_token(signer.token()).post(f"/orders/{ID}/cancel")).status == 200
    assert orjson.loads(services.last_request.data) == {"id": ID}


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_over_the_limit_is_refused(edge: HttpClient, services: StubServices, chunked: bool) -> None:  # noqa: FBT001
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65536

    data = chunks() if chunked else io.BytesIO(b" " * (1024 * 1024 + 1))
    response = await edge.post("/carts/c/items", data=data, headers={"Content-Type": "application/json"})
    assert (response.status, response.code) == (413, "payload_too_large")


async def test_readiness_names_every_service(edge: HttpClient, services: StubServices) -> None:
    for service in ("user", "catalog", "cart", "order"):
        services.respond(f"{service}.health", b'{"stores":{"nats":"ok","store":"ok"}}')
    response = await edge.get("//readyz")
    assert response.status == 503
    states = response.json["services"]
    assert set(states) == {"edge", *SERVICES}
    assert states["catalog"] == {"nats": "ok", "store": "ok"}
    assert states["payment"] == {"service": "unavailable"}


async def test_metrics_are_for_configured_networks_only(edge: HttpClient, services: StubServices) -> None:
    await edge.get(LAMP)
    metrics = (await edge.get("//metrics")).body.decode()
    labels = 'method="GET",route="/api/v1/products/{key}",status="200"'
    assert f"souk_http_request_seconds_count{{{labels}}} 1.0" in metrics
    far = await edge.get("//metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert (far.status, far.code) == (404, "not_found")


async def test_the_documentation_is_served(edge: HttpClient) -> None:
    for path, key, version in (("//openapi.json", "openapi", "3.1.0"), ("//asyncapi.json", "asyncapi", "3.0.0")):
        document = await edge.get(path)
        assert document.json[key] == version
        assert document.headers["Access-Control-Allow-Origin"] == "*"
        again = await edge.get(path, headers={"If-None-Match": document.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
    assert (await edge.get("//docs")).headers["Content-Type"] == "text/html; charset=utf-8"
    assert (await edge.get("//")).headers["Location"] == "/docs"
