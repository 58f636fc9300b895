"""What Nginx lets through, keeps, refuses and says."""

import asyncio
import io
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contracts.failure import Problem
from infra.ops.devstack.free_ports import Ports
from infra.ops.devstack.nginx_config import Limits, Tls, render
from infra.ops.devstack.server_binaries import Search
from tests.nginx.conftest import Front, Open
from tests.support.eventually import eventually

MEBIBYTE = 1024 * 1024
PRODUCTS = "/api/v1/products"


async def test_passes_on_who_asks_and_not_what_one_says_of_oneself(front: Front) -> None:
    said = {"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "X-Request-Id": "mine-1"}
    answered = await front("GET", "/api/v1/orders?limit=2", headers=said)
    seen = front.upstream.seen[0]
    assert seen["target"] == "/api/v1/orders?limit=2"
    assert seen["headers"]["x-forwarded-for"] == seen["headers"]["x-real-ip"] == "127.0.0.1"
    assert seen["headers"]["x-request-id"] == answered.headers["X-Request-Id"] == "mine-1"


@pytest.mark.parametrize("insane", ["a b", "x" * 129, 'a"b', "ü"])
async def test_makes_a_request_id_where_there_is_no_sane_one(front: Front, insane: str) -> None:
    answered = await front("GET", "/api/v1/orders", headers={"X-Request-Id": insane})
    assert answered.headers["X-Request-Id"] == front.upstream.seen[0]["headers"]["x-request-id"] != insane
    assert len(answered.headers.getall("X-Request-Id")) == 1


async def test_every_answer_has_the_security_headers_once(front: Front) -> None:
    for path in ("/api/v1/orders", PRODUCTS, "/metrics", "/healthz"):
        answered = await front("GET", path)
        for name in ("X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy"):
            assert len(answered.headers.getall(name)) == 1, (path, name)
        assert answered.headers["Server"] == "nginx"


async def test_the_docs_bring_their_own_policy(front: Front) -> None:
    front.upstream.headers = {"Content-Security-Policy": "default-src 'self'"}
    answered = await front("GET", "/docs")
    assert answered.headers.getall("Content-Security-Policy") == ["default-src 'self'"]


async def test_keeps_what_is_public_for_as_long_as_it_says(front: Front) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    first, second = [await front("GET", PRODUCTS) for _ in range(2)]
    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"], "an id is of one request"
    assert len(front.upstream.seen) == 1
    assert (await front("GET", PRODUCTS + "?limit=1")).headers["X-Cache"] == "MISS"


@pytest.mark.parametrize("secret", [{"Authorization": "Bearer x"}, {"Cookie": "a=b"}])
async def test_never_keeps_or_serves_what_is_somebody_s_own(front: Front, secret: dict[str, str]) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    await front("GET", PRODUCTS, headers=secret)
    assert (await front("GET", PRODUCTS)).headers["X-Cache"] == "MISS"
    assert (await front("GET", PRODUCTS, headers=secret)).headers["X-Cache"] == "BYPASS"
    assert len(front.upstream.seen) == 3


async def test_keeps_nothing_that_is_not_marked(front: Front) -> None:
    front.upstream.headers = {"Cache-Control": "no-store"}
    assert [(await front("GET", PRODUCTS)).headers["X-Cache"] for _ in range(2)] == ["MISS", "MISS"]


async def test_what_many_want_at_once_is_asked_for_a_few_times_at_most(front: Front) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    front.upstream.hold = asyncio.Event()
    asking = [asyncio.create_task(front("GET", PRODUCTS)) for _ in range(20)]
    await eventually(lambda: front.upstream.seen)
    front.upstream.hold.set()
    assert {answered.status for answered in await asyncio.gather(*asking)} == {200}
    assert len(front.upstream.seen) < len(asking) / 2


async def test_answers_304_where_the_client_has_it(front: Front) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60", "ETag": '"7"'}
    answered = await front("GET", PRODUCTS, headers={"If-None-Match": '"7"'})
    assert (answered.status, answered.body) == (304, b"")


async def test_compresses_json_but_nothing_beside_a_secret(front: Front) -> None:
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
async def test_bodies_have_a_limit(front: Front, method: str, path: str, size: int, status: int) -> None:
    answered = await front(method, path, data=io.BytesIO(b"x" * size), headers={"Expect": "100-continue"})
    assert answered.status == status
    if status == 413:
        _is_problem(answered.body, 413, "payload_too_large")
        assert not front.upstream.seen


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
async def test_what_is_not_http_is_refused_as_a_problem(front: Front, request_: bytes, status: int, code: str) -> None:
    answer = await front.raw(request_)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"content-type: application/problem+json" in head.lower()
    assert b"x-request-id: " in head.lower()
    _is_problem(body, status, code)
    assert not front.upstream.seen


async def test_a_method_that_nobody_has_is_told_with_those_there_are(front: Front) -> None:
    answer = await front.raw(b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer


async def test_an_edge_that_is_away_is_503_with_a_time_to_wait(open_front: Open) -> None:
    front = await open_front(edge=False)
    answered = await front("GET", PRODUCTS)
    assert answered.status == 503
    assert answered.headers["Retry-After"] == "1"
    assert answered.headers["Content-Type"] == "application/problem+json"
    _is_problem(answered.body, 503, "unavailable")


async def test_problems_of_the_edge_go_through_as_they_are(front: Front) -> None:
    front.upstream.status, front.upstream.body = 503, b'{"code":"overloaded"}'
    assert (await front("GET", "/api/v1/orders")).body == b'{"code":"overloaded"}'


async def test_writes_are_limited_and_reads_are_not(open_front: Open) -> None:
    limits = Limits(writes_per_second=1, writes_burst=2, auth_per_minute=1, auth_burst=1)
    front = await open_front(limits=limits)
    assert {(await front("GET", "/api/v1/orders")).status for _ in range(10)} == {200}
    writes = [await front("POST", "/api/v1/orders", data=b"{}") for _ in range(5)]
    assert [answered.status for answered in writes] == [200, 200, 200, 429, 429]
    assert writes[-1].headers["Retry-After"] == "1"
    said = [writes[-1].headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
    assert said == ["2", "0", "2"]
    _is_problem(writes[-1].body, 429, "too_many_requests")


async def test_signing_in_is_limited_more(open_front: Open) -> None:
    front = await open_front(limits=Limits(writes_per_second=100, writes_burst=99, auth_per_minute=1, auth_burst=1))
    logins = [(await front("POST", "/api/v1/auth/login", data=b"{}")).status for _ in range(4)]
    assert logins == [200, 200, 429, 429]
    assert (await front("POST", "/api/v1/orders", data=b"{}")).status == 200


async def test_figures_are_for_those_who_are_near(front: Front, open_front: Open) -> None:
    assert (await front("GET", "/metrics")).status == 200
    assert (await front("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status == 404
    far = await open_front(metrics_networks=["192.0.2.0/24"])
    for path in ("/metrics", "//metrics", "/x/../metrics", "/%6detrics", "/metrics?x=1", "/metrics/../metrics"):
        assert (await far("GET", path)).status == 404, path
    assert not far.upstream.seen


async def test_a_target_reaches_the_edge_as_it_was_written(front: Front) -> None:
    target = "/api/v1/inventory/A%2FB//c/adjustments"
    await front("POST", target, data=b"{}")
    assert front.upstream.seen[0]["target"] == target


async def test_events_come_one_by_one(front: Front) -> None:
    rendered = front.config.read_text()
    block = rendered.partition("orders/[^/]+/events$")[2].partition("}")[0]
    assert "proxy_buffering off" in block
    assert "gzip off" in block


async def test_refusals_are_noted_without_the_query(front: Front) -> None:
    await front("POST", "/api/v1/orders?token=geheim", data=io.BytesIO(b"x" * (MEBIBYTE + 1)))
    log = front.config.parent / "refused.log"
    await eventually(lambda: "413" in log.read_text())
    assert "geheim" not in log.read_text()


async def test_speaks_tls_and_sends_others_there(open_front: Open, certificate: tuple[Path, Path]) -> None:
    tls = Tls(*certificate, port=Ports().take(0, "a test", "nothing"))
    front = await open_front(tls=tls)
    redirected = await front("GET", "/api/v1/orders?limit=1")
    assert redirected.status == 308
    assert redirected.headers["Location"] == f"https://127.0.0.1:{tls.port}/api/v1/orders?limit=1"
    front.url = f"https://127.0.0.1:{tls.port}"
    answered = await front("GET", "/api/v1/orders", ssl=False)
    assert answered.status == 200
    assert "Strict-Transport-Security" in answered.headers
    assert answered.json["headers"]["x-forwarded-proto"] == "https"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """One that nobody vouches for, for a day."""
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
def test_nginx_takes_every_form_of_the_configuration(tmp_path: Path, limits: bool, cache: bool) -> None:  # noqa: FBT001
    config = tmp_path / "nginx.conf"
    config.write_text(
        render(
            http_port=8080,
            edges=["127.0.0.1:8081", "127.0.0.1:8082"],
            run_dir=tmp_path,
            limits=limits,
            cache=cache,
            workers="auto",
            trusted_proxies=["10.0.0.0/8"],
        )
    )
    command = [Search().nginx().binary, "-t", "-p", tmp_path, "-c", config, "-e", "stderr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_an_edge_that_is_gone_is_passed_over_every_time(open_front: Open) -> None:
    """Not avoided for a while after: it may be back before the other one goes."""
    front = await open_front(limits=False, gone=1)
    for method in ("GET", "POST") * 10:
        assert (await front(method, "/api/v1/orders", data=b"{}" if method == "POST" else None)).status == 200
    assert len(front.upstream.seen) == 20


async def test_an_edge_gets_no_more_at_once_than_it_may(open_front: Open) -> None:
    front = await open_front(limits=False, edge_connections=3)
    front.upstream.hold = asyncio.Event()
    under_way = [asyncio.create_task(front("GET", "/api/v1/orders")) for _ in range(3)]
    await eventually(lambda: len(front.upstream.seen) == 3)
    refused = await front("GET", "/api/v1/orders")
    _is_problem(refused.body, 503, "unavailable")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    front.upstream.hold.set()
    assert {answered.status for answered in await asyncio.gather(*under_way)} == {200}


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("PATCH", 1), ("GET", 2)])
async def test_what_may_have_been_carried_out_is_not_repeated(open_front: Open, method: str, times: int) -> None:
    """The edge reads the request and dies."""
    front = await open_front(limits=False, twice=True)
    front.upstream.dies = True
    answered = await front(method, "/api/v1/orders", data=b"{}" if method != "GET" else None)
    assert (answered.status, answered.headers["Retry-After"]) == (503, "1")
    assert len(front.upstream.seen) == times
