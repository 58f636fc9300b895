"""Nginx: what it forwards, caches, refuses and logs."""

import asyncio
import io
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contracts.failure import Problem
from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.nginx_config import NginxLimits, NginxTls, render_nginx_config
from infra.ops.devstack.server_binaries import ServerFinder
from tests.nginx.conftest import NginxUnderTest, OpenNginx
from tests.support.eventually import eventually

MEBIBYTE = 1024 * 1024
PRODUCTS = "/api/v1/products"


async def test_client_addresses_are_real_not_claimed(front: NginxUnderTest) -> None:
    claimed = {"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "X-Request-Id": "mine-1"}
    response = await front("GET", "/api/v1/orders?limit=2", headers=claimed)
    seen = front.upstream.requests[0]
    assert seen["target"] == "/api/v1/orders?limit=2"
    assert seen["headers"]["x-forwarded-for"] == seen["headers"]["x-real-ip"] == "127.0.0.1"
    assert seen["headers"]["x-request-id"] == response.headers["X-Request-Id"] == "mine-1"


async def test_nginx_proves_itself_to_the_edge(open_front: OpenNginx) -> None:
    front = await open_front(limits=False, proxy_secret="of-this-shop")
    await front("GET", "/api/v1/orders", headers={"X-Proxy-Secret": "guess"})
    assert front.upstream.requests[0]["headers"]["x-proxy-secret"] == "of-this-shop"


async def test_a_client_cannot_send_the_secret_of_nginx(front: NginxUnderTest) -> None:
    await front("GET", "/api/v1/orders", headers={"X-Proxy-Secret": "guess"})
    assert "x-proxy-secret" not in front.upstream.requests[0]["headers"]


@pytest.mark.parametrize(
    ("claimed", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("6.6.6.6, 192.0.2.7, 10.1.1.1", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("unknown", "127.0.0.1"),
    ],
)
async def test_proxies_in_front_are_trusted_if_configured(open_front: OpenNginx, claimed: str, address: str) -> None:
    front = await open_front(limits=False, trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"])
    await front("GET", "/api/v1/orders", headers={"X-Forwarded-For": claimed})
    assert front.upstream.requests[0]["headers"]["x-forwarded-for"] == address


@pytest.mark.parametrize("invalid", ["a b", "x" * 129, 'a"b', "ü"])
async def test_an_invalid_request_id_is_replaced(front: NginxUnderTest, invalid: str) -> None:
    response = await front("GET", "/api/v1/orders", headers={"X-Request-Id": invalid})
    assert response.headers["X-Request-Id"] == front.upstream.requests[0]["headers"]["x-request-id"] != invalid
    assert len(response.headers.getall("X-Request-Id")) == 1


async def test_every_response_has_the_security_headers_once(front: NginxUnderTest) -> None:
    for path in ("/api/v1/orders", PRODUCTS, "/metrics", "/healthz"):
        response = await front("GET", path)
        for name in ("X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"):
            assert len(response.headers.getall(name)) == 1, (path, name)
        assert response.headers["Server"] == "nginx"


async def test_the_docs_set_their_own_policy(front: NginxUnderTest) -> None:
    front.upstream.headers = {"Content-Security-Policy": "default-src 'self'"}
    response = await front("GET", "/docs")
    assert response.headers.getall("Content-Security-Policy") == ["default-src 'self'"]


async def test_json_is_compressed_except_beside_secrets(front: NginxUnderTest) -> None:
    front.upstream.body = b'{"x":"' + b"a" * 4000 + b'"}'
    accepted = {"Accept-Encoding": "gzip"}
    assert (await front("GET", "/api/v1/orders", headers=accepted)).headers.get("Content-Encoding") == "gzip"
    assert "Content-Encoding" not in (await front("POST", "/api/v1/auth/login", headers=accepted, data=b"{}")).headers


@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("POST", "/api/v1/orders", MEBIBYTE, 200),
        ("POST", "/api/v1/orders", MEBIBYTE + 1, 413),
        ("POST", f"{PRODUCTS}/import", 50 * MEBIBYTE, 200),
        ("POST", f"{PRODUCTS}/import", 50 * MEBIBYTE + 1, 413),
        ("POST", f"{PRODUCTS}/0190/images", 10 * MEBIBYTE, 200),
        ("POST", f"{PRODUCTS}/0190/images", 11 * MEBIBYTE, 413),
    ],
)
async def test_bodies_have_a_size_limit(front: NginxUnderTest, method: str, path: str, size: int, status: int) -> None:
    response = await front(method, path, data=io.BytesIO(b"x" * size), headers={"Expect": "100-continue"})
    assert response.status == status
    if status == 413:
        _is_problem(response.body, 413, "payload_too_large")
        assert not front.upstream.requests


def _is_problem(body: bytes, status: int, code: str) -> None:
    problem = Problem.model_validate_json(body)
    assert (problem.status, problem.code) == (status, code)
    assert problem.request_id


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"NONSENSE\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed"),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 400, "malformed"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "malformed",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "malformed"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: sausage\r\n\r\n", 400, "malformed"),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_http_is_refused_as_a_problem(
    front: NginxUnderTest, request_: bytes, status: int, code: str
) -> None:
    answer = await front.raw(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"content-type: application/problem+json" in head.lower()
    assert b"x-request-id: " in head.lower()
    _is_problem(body, status, code)
    assert not front.upstream.requests


async def test_an_unknown_method_lists_the_allowed_ones(front: NginxUnderTest) -> None:
    answer = await front.raw(b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer


async def test_an_unavailable_edge_returns_503_with_retry_after(open_front: OpenNginx) -> None:
    front = await open_front(edge=False)
    response = await front("GET", PRODUCTS)
    assert response.status == 503
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Content-Type"] == "application/problem+json"
    _is_problem(response.body, 503, "unavailable")


async def test_problems_of_the_edge_are_unchanged(front: NginxUnderTest) -> None:
    front.upstream.status, front.upstream.body = 503, b'{"code":"overloaded"}'
    assert (await front("GET", "/api/v1/orders")).body == b'{"code":"overloaded"}'


async def test_writes_are_limited_and_reads_are_not(open_front: OpenNginx) -> None:
    limits = NginxLimits(writes_per_second=1, writes_burst=2, auth_per_minute=1, auth_burst=1)
    front = await open_front(limits=limits)
    assert {(await front("GET", "/api/v1/orders")).status for _ in range(10)} == {200}
    writes = [await front("POST", "/api/v1/orders", data=b"{}") for _ in range(5)]
    assert [response.status for response in writes] == [200, 200, 200, 429, 429]
    assert writes[-1].headers["Retry-After"] == "1"
    claimed = [writes[-1].headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
    assert claimed == ["2", "0", "2"]
    _is_problem(writes[-1].body, 429, "too_many_requests")


async def test_authentication_has_a_lower_limit(open_front: OpenNginx) -> None:
    front = await open_front(
        limits=NginxLimits(writes_per_second=100, writes_burst=99, auth_per_minute=1, auth_burst=1)
    )
    logins = [(await front("POST", "/api/v1/auth/login", data=b"{}")).status for _ in range(4)]
    assert logins == [200, 200, 429, 429]
    assert (await front("POST", "/api/v1/orders", data=b"{}")).status == 200


async def test_metrics_are_for_allowed_networks_only(front: NginxUnderTest, open_front: OpenNginx) -> None:
    assert (await front("GET", "/metrics")).status == 200
    assert (await front("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status == 404
    far = await open_front(metrics_networks=["192.0.2.0/24"])
    for path in ("/metrics", "//metrics", "/x/../metrics", "/%6detrics", "/metrics?x=1", "/metrics/../metrics"):
        assert (await far("GET", path)).status == 404, path
    assert not far.upstream.requests


async def test_the_request_target_is_unchanged(front: NginxUnderTest) -> None:
    target = "/api/v1/inventory/A%2FB//c/adjustments"
    await front("POST", target, data=b"{}")
    assert front.upstream.requests[0]["target"] == target


async def test_server_sent_events_are_not_buffered(front: NginxUnderTest) -> None:
    rendered = front.config.read_text()
    block = rendered.partition("orders/[^/]+/events$")[2].partition("}")[0]
    assert "proxy_read_timeout 75s" in block, "longer than between two heartbeats"
    front.upstream.body = b"retry: 3000\n\n"
    front.upstream.breaks_off = asyncio.Event()
    front.upstream.headers = {"Content-Type": "text/event-stream"}
    path = "/api/v1/orders/7/events?ticket=x"
    async with front.session.get(f"{front.url}{path}", headers={"Accept-Encoding": "gzip"}) as response:
        async with asyncio.timeout(5):
            assert await response.content.readexactly(13) == front.upstream.body
        assert "Content-Encoding" not in response.headers
        front.upstream.breaks_off.set()


async def test_event_streams_take_no_room_from_other_requests(open_front: OpenNginx) -> None:
    front = await open_front(limits=False, edge_connections=1)
    front.upstream.breaks_off = asyncio.Event()
    front.upstream.body = b"retry: 3000\n\n"
    async with front.session.get(f"{front.url}/api/v1/orders/7/events") as response:
        await response.content.readexactly(13)
        breaks_off, front.upstream.breaks_off = front.upstream.breaks_off, None
        assert (await front("GET", "/api/v1/orders/7")).status == 200
        breaks_off.set()


async def test_a_response_that_the_edge_breaks_off_has_no_end(front: NginxUnderTest) -> None:
    front.upstream.body = b"a,b\r\n" * 100_000
    front.upstream.breaks_off = asyncio.Event()
    headers = {"Accept-Encoding": "identity", "Authorization": "Bearer x"}
    async with front.session.get(f"{front.url}/api/v1/products/export", headers=headers) as response:
        assert response.status == 200
        assert await response.content.readexactly(1000)
        front.upstream.breaks_off.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert len(front.upstream.requests) == 1


async def test_refusals_are_logged_with_method_and_path_without_the_query(front: NginxUnderTest) -> None:
    await front("POST", "/api/v1/orders?token=geheim", data=io.BytesIO(b"x" * (MEBIBYTE + 1)))
    await front("TRACE", "/api/v1/users/profile?token=geheim#geheim")
    ambiguous = b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"
    await front.raw(b"PUT http://user:geheim@shop/api/v1/carts/geheim/items?geheim HTTP/1.1\r\nHost: x\r\n" + ambiguous)
    await front.raw(b"geheim\r\n\r\n")
    log = front.config.parent / "refused.log"
    await eventually(lambda: len(log.read_text().splitlines()) == 4)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(line["status"], line["method"], line["path"]) for line in lines} == {
        ("413", "POST", "/api/v1/orders"),
        ("405", "TRACE", "/api/v1/users/profile"),
        ("400", "PUT", "/api/v1/carts/*"),
        ("400", "-", "-"),
    }
    assert "geheim" not in log.read_text()


async def test_https_is_served_and_http_redirected(
    open_front: OpenNginx, certificate: tuple[Path, Path], ports: PortPicker
) -> None:
    tls = NginxTls(*certificate, port=ports.reserve(0, "a test", "nothing"))
    front = await open_front(tls=tls)
    redirected = await front("GET", "/api/v1/orders?limit=1")
    assert redirected.status == 308
    assert redirected.headers["Location"] == f"https://127.0.0.1:{tls.port}/api/v1/orders?limit=1"
    front.url = f"https://127.0.0.1:{tls.port}"
    response = await front("GET", "/api/v1/orders", ssl=False)
    assert response.status == 200
    assert "Strict-Transport-Security" in response.headers
    assert response.json["headers"]["x-forwarded-proto"] == "https"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for one day, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "souk.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, secret


@pytest.mark.parametrize("limits", [True, False])
@pytest.mark.parametrize("cache", [True, False])
def test_nginx_accepts_every_variant_of_the_configuration(tmp_path: Path, limits: bool, cache: bool) -> None:  # noqa: FBT001
    config = tmp_path / "nginx.conf"
    config.write_text(
        render_nginx_config(
            http_port=8080,
            edges=["127.0.0.1:8081", "127.0.0.1:8082"],
            run_dir=tmp_path,
            limits=limits,
            cache=cache,
            workers="auto",
            trusted_proxies=["10.0.0.0/8"],
        )
    )
    command = [ServerFinder().nginx().binary, "-t", "-p", tmp_path, "-c", config, "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_stopped_edge_is_skipped_for_every_request(open_front: OpenNginx) -> None:
    """It is not avoided afterwards, since it may be back before the other edge stops."""
    front = await open_front(limits=False, gone=1)
    for method in ("GET", "POST") * 10:
        assert (await front(method, "/api/v1/orders", data=b"{}" if method == "POST" else None)).status == 200
    assert len(front.upstream.requests) == 20


async def test_requests_in_progress_at_an_edge_are_bounded(open_front: OpenNginx) -> None:
    front = await open_front(limits=False, edge_connections=3)
    front.upstream.release = asyncio.Event()
    under_way = [asyncio.create_task(front("GET", "/api/v1/orders")) for _ in range(3)]
    await eventually(lambda: len(front.upstream.requests) == 3)
    refused = await front("GET", "/api/v1/orders")
    _is_problem(refused.body, 503, "unavailable")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    front.upstream.release.set()
    assert {response.status for response in await asyncio.gather(*under_way)} == {200}


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("PATCH", 1), ("GET", 2)])
async def test_requests_that_may_have_taken_effect_are_not_retried(
    open_front: OpenNginx, method: str, times: int
) -> None:
    """The edge reads the request and closes the connection."""
    front = await open_front(limits=False, twice=True)
    front.upstream.drops_connections = True
    response = await front(method, "/api/v1/orders", data=b"{}" if method != "GET" else None)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert len(front.upstream.requests) == times
