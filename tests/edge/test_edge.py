"""The edge over a real NATS: what reaches a service, and what comes back from it."""

import io
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from contracts import headers
from contracts.catalog import OutOfStock
from contracts.registry import SERVICES
from tests.edge.conftest import StubServices
from tests.edge.token_signing import SUBJECT, TokenSigner
from tests.support.http import HttpClient

ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
LAMP = "/products/brass-lamp"
ADD = {"sku": "A", "quantity": 1}
OpenEdge = Callable[..., Any]


async def test_a_reply_passes_through_untouched(edge: HttpClient, backs: StubServices) -> None:
    odd = b'{ "id" :"7", "more": [1.50] }\n'
    backs.respond("catalog.get_product", odd)
    answered = await edge.get(LAMP)
    assert (answered.status, answered.body) == (200, odd)
    assert answered.headers["Content-Type"] == "application/json"
    assert orjson.loads(backs.last_request.data) == {"key": "brass-lamp"}


async def test_an_ask_carries_who_asks_and_from_where(
    edge: HttpClient, backs: StubServices, signer: TokenSigner
) -> None:
    await edge.with_token(signer.token(role="admin")).get("/orders", headers={"X-Forwarded-For": "192.0.2.7"})
    said = backs.last_request.headers
    assert said is not None
    assert orjson.loads(said[headers.IDENTITY]) == {"user_id": SUBJECT, "role": "admin"}
    assert said[headers.CLIENT_IP] == "192.0.2.7"
    assert 0 < int(said[headers.TIME_LEFT]) <= 10_000


async def test_a_client_cannot_name_an_identity(edge: HttpClient, backs: StubServices) -> None:
    await edge.get(LAMP, headers={headers.IDENTITY: '{"user_id":"x","role":"admin"}', headers.IF_MATCH: "3"})
    assert headers.IDENTITY not in (backs.last_request.headers or {})
    assert headers.IF_MATCH not in (backs.last_request.headers or {})


async def test_a_trace_goes_on_and_a_request_id_is_echoed(edge: HttpClient, backs: StubServices) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answered = await edge.get(LAMP, headers={"traceparent": traceparent, "X-Request-Id": "mine"})
    said = backs.last_request.headers or {}
    assert said[headers.TRACEPARENT].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"
    assert said[headers.REQUEST_ID] == answered.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
async def test_a_trace_that_is_none_begins_anew(edge: HttpClient, backs: StubServices, traceparent: str) -> None:
    await edge.get(LAMP, headers={"traceparent": traceparent})
    assert len((backs.last_request.headers or {})[headers.TRACEPARENT]) == 55


@pytest.mark.parametrize("path", ["/nothing", "//nothing", "/products/%ff", "/orders", "/auth/login"])
async def test_every_answer_has_a_request_id(edge: HttpClient, backs: StubServices, path: str) -> None:
    answered = await edge.get(path, headers={"X-Request-Id": "not sane"})
    assert answered.json["request_id"] == answered.headers["X-Request-Id"] != "not sane"


async def test_one_line_in_the_log_for_a_write_and_none_for_a_read(
    edge: HttpClient, backs: StubServices, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "souk.http"):
        await edge.get(LAMP + "?")
        await edge.post("/carts", {})
    fields = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert [(line["method"], line["route"], line["status"]) for line in fields] == [("POST", "/api/v1/carts", 201)]


async def test_what_was_made_is_named(edge: HttpClient, backs: StubServices) -> None:
    answered = await edge.post("/carts", {})
    assert (answered.status, answered.headers["Location"]) == (201, "/api/v1/carts/7")
    backs.respond("user.logout", b"{}")
    answered = await edge.post("/auth/logout", {"refresh_token": "x"})
    assert (answered.status, answered.body) == (204, b"")


async def test_a_failure_passes_through_with_its_status(edge: HttpClient, backs: StubServices) -> None:
    fail = OutOfStock("3 of A are left", retry_after=2.4)
    body = fail.to_json("theirs")
    backs.respond("cart.add", body, Nats_Service_Error=fail.code, Nats_Service_Error_Code="409")
    answered = await edge.post("/carts/c/items", ADD)
    assert (answered.status, answered.body) == (409, body)
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.headers["Retry-After"] == "2"
    assert answered.headers["Cache-Control"] == "no-store"


async def test_a_refused_login_names_the_scheme(edge: HttpClient, backs: StubServices) -> None:
    backs.respond("user.login", b'{"code":"x"}', Nats_Service_Error="x", Nats_Service_Error_Code="401")
    answered = await edge.post("/auth/login", {"email": "a@b.c", "password": "x"})
    assert (answered.status, answered.headers["WWW-Authenticate"]) == (401, 'Bearer realm="souk"')


async def test_a_replay_is_told(edge: HttpClient, backs: StubServices) -> None:
    backs.respond("cart.create", Souk_Replayed="true")
    answered = await edge.post("/carts", {}, key="k1")
    assert answered.headers["Idempotent-Replayed"] == "true"
    assert (backs.last_request.headers or {})[headers.IDEMPOTENCY_KEY] == "k1"


@pytest.mark.parametrize("key", ["x" * 256, "é", "a\tb", ""])
async def test_a_key_that_is_none(edge: HttpClient, backs: StubServices, key: str) -> None:
    answered = await edge.post("/carts", {}, headers={"Idempotency-Key": key})
    assert (answered.status, answered.code) == (400, "invalid_idempotency_key")
    assert not backs.requests


async def test_where_money_is_at_stake_a_key_can_be_required(
    open_edge: OpenEdge, backs: StubServices, signer: TokenSigner
) -> None:
    strict = (await open_edge(edge_idempotency_required=True)).http.as_(signer.token(role="admin"))
    for path in ("/orders", f"/orders/{ID}/pay", "/payments", f"/payments/{ID}/refund"):
        answered = await strict.post(path, {})
        assert (answered.status, answered.code) == (400, "idempotency_key_required"), path
    assert (await strict.post("/carts", {})).status == 201


async def test_what_changes_without_its_version_is_never_unchanged(edge: HttpClient, backs: StubServices) -> None:
    """A cart tells prices and stock of now."""
    backs.respond("cart.get", Souk_Version="7")
    answered = await edge.get("/carts/c", headers={"If-None-Match": '"7"'})
    assert (answered.status, answered.headers["ETag"]) == (200, '"7"')


async def test_versions_are_etags(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    mine = edge.with_token(signer.token())
    backs.respond("order.get", Souk_Version="7")
    answered = await mine.get(f"/orders/{ID}")
    assert (answered.headers["ETag"], answered.headers["Cache-Control"]) == ('"7"', "private, no-cache")
    again = await mine.get(f"/orders/{ID}", headers={"If-None-Match": 'W/"7"'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", '"7"')
    await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": '"7"'})
    assert (backs.last_request.headers or {})[headers.IF_MATCH] == "7"
    await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": "*"})
    assert headers.IF_MATCH not in (backs.last_request.headers or {})
    refused = await edge.put("/carts/c/items/A", {"quantity": 1}, headers={"If-Match": '"x"'})
    assert (refused.status, refused.code) == (412, "precondition_failed")


async def test_what_is_public_may_be_kept_and_one_s_own_may_not(
    edge: HttpClient, backs: StubServices, signer: TokenSigner
) -> None:
    assert (await edge.get("/products")).headers["Cache-Control"] == "public, max-age=1"
    assert (await edge.with_token(signer.token()).get("/products")).headers["Cache-Control"] == "no-store"
    assert (await edge.get("/carts/c")).headers["Cache-Control"] == "no-store"
    backs.respond("catalog.get_image", b"RIFF", Content_Type="image/webp")
    picture = await edge.get(f"//images/{ID}/320.webp")
    assert (picture.body, picture.headers["Content-Type"]) == (b"RIFF", "image/webp")
    assert picture.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_keys_are_for_everybody(edge: HttpClient, signer: TokenSigner) -> None:
    assert (await edge.get("//.well-known/jwks.json")).json == signer.jwks().model_dump()


async def test_access_is_refused_early(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    answered = await edge.get("/orders")
    assert (answered.status, answered.code, answered.headers["WWW-Authenticate"]) == (
        401,
        "unauthorized",
        'Bearer realm="souk"',
    )
    answered = await edge.with_token(signer.token()).post("/products", {})
    assert (answered.status, answered.code) == (403, "forbidden")
    answered = await edge.with_token("nonsense").get(LAMP)
    assert (answered.status, answered.code) == (401, "invalid_token")
    assert 'error="invalid_token"' in answered.headers["WWW-Authenticate"]
    assert not backs.requests


async def test_head_and_options(edge: HttpClient, backs: StubServices) -> None:
    answered = await edge("HEAD", LAMP)
    assert (answered.status, answered.body) == (200, b"")
    answered = await edge("OPTIONS", "/orders")
    assert (answered.status, answered.headers["Allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    answered = await edge("PATCH", "/orders")
    assert (answered.status, answered.code, answered.headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET, HEAD, POST, OPTIONS",
    )


async def test_pages_of_listed_origins_may_call(open_edge: OpenEdge, backs: StubServices) -> None:
    http = (await open_edge(edge_cors_origins="https://shop.example, https://b.example")).http
    ours, theirs = {"Origin": "https://shop.example"}, {"Origin": "https://shop.example.evil"}
    answered = await http.get(LAMP, headers=ours)
    assert answered.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Origin" in answered.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answered.headers
    preflight = await http("OPTIONS", "/orders", headers=ours)
    assert "Idempotency-Key" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in (await http.get(LAMP, headers=theirs)).headers


@pytest.mark.parametrize(
    ("kind", "status"),
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
async def test_a_body_has_its_type(edge: HttpClient, backs: StubServices, kind: str, status: int) -> None:
    answered = await edge.post("/carts/c/items", data=orjson.dumps(ADD), headers={"Content-Type": kind})
    assert answered.status == status


async def test_a_compressed_body_is_not_taken(edge: HttpClient, backs: StubServices) -> None:
    said = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answered = await edge.post("/carts/c/items", data=b"\x1f\x8b", headers=said)
    assert (answered.status, answered.code) == (415, "unsupported_media_type")


async def test_no_body_needs_no_type(edge: HttpClient, backs: StubServices, signer: TokenSigner) -> None:
    assert (await edge.with_token(signer.token()).post(f"/orders/{ID}/cancel")).status == 200
    assert orjson.loads(backs.last_request.data) == {"id": ID}


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_over_the_limit(edge: HttpClient, backs: StubServices, chunked: bool) -> None:  # noqa: FBT001
    async def bits() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 65536

    data = bits() if chunked else io.BytesIO(b" " * (1024 * 1024 + 1))
    answered = await edge.post("/carts/c/items", data=data, headers={"Content-Type": "application/json"})
    assert (answered.status, answered.code) == (413, "payload_too_large")


async def test_readiness_names_every_service(edge: HttpClient, backs: StubServices) -> None:
    for service in ("user", "catalog", "cart", "order"):
        backs.respond(f"{service}.health", b'{"stores":{"nats":"ok","store":"ok"}}')
    answered = await edge.get("//readyz")
    assert answered.status == 503
    services = answered.json["services"]
    assert set(services) == {"edge", *SERVICES}
    assert services["catalog"] == {"nats": "ok", "store": "ok"}
    assert services["payment"] == {"service": "unavailable"}


async def test_figures_are_for_those_who_are_near(edge: HttpClient, backs: StubServices) -> None:
    await edge.get(LAMP)
    figures = (await edge.get("//metrics")).body.decode()
    labels = 'method="GET",route="/api/v1/products/{key}",status="200"'
    assert f"souk_http_request_seconds_count{{{labels}}} 1.0" in figures
    far = await edge.get("//metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert (far.status, far.code) == (404, "not_found")


async def test_the_documentation_is_served(edge: HttpClient) -> None:
    assert (await edge.get("//openapi.json")).json["openapi"] == "3.1.0"
    assert (await edge.get("//docs")).headers["Content-Type"] == "text/html; charset=utf-8"
    assert (await edge.get("//")).headers["Location"] == "/docs"
