"""Request smuggling: Nginx refuses requests that two servers could read differently."""

import asyncio

import pytest

from tests.nginx.conftest import NginxUnderTest

POST = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 4\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        POST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd" + HIDDEN,
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: 0, 4\r\n\r\n" + HIDDEN,
        POST + b"Content-Length: +4\r\n\r\nabcd" + HIDDEN,
        POST + b"Content-Length: -4\r\n\r\nabcd" + HIDDEN,
        POST + b"Content-Length: 0x4\r\n\r\nabcd" + HIDDEN,
        POST + b"Content-Length: 99999999999999999999\r\n\r\nabcd" + HIDDEN,
        POST + b"Host: y\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
        POST + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
        b"POST /api/v1/orders HTTP/1.0\r\nHost: x\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + HIDDEN,
    ],
)
async def test_ambiguous_requests_are_refused(front: NginxUnderTest, request_: bytes) -> None:
    """The connection closes after the refusal, so that no following bytes become another request."""
    answer = await front.raw(request_)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not front.upstream.requests


@pytest.mark.parametrize("size", [b"4;x=\n", b"0x4", b"+4", b"-1", b"fffffffffffffffff"])
async def test_invalid_chunk_sizes_are_refused(front: NginxUnderTest, size: bytes) -> None:
    request = POST + CHUNKED + b"Connection: close\r\n\r\n" + size + b"\r\nabcd\r\n0\r\n\r\n"
    answer = await front.raw(request)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert not front.upstream.requests


async def test_chunk_extensions_are_not_forwarded(front: NginxUnderTest) -> None:
    """The edge gets exactly one length in one form."""
    request = POST + CHUNKED + b"Connection: close\r\n\r\n4 4;x=y\r\nabcd\r\n0\r\n\r\n" + HIDDEN
    await front.raw(request)
    assert {(seen["target"], seen["headers"].get("content-length")) for seen in front.upstream.requests} <= {
        ("/api/v1/orders", "4")
    }
    assert not any("transfer-encoding" in seen["headers"] for seen in front.upstream.requests)


async def test_folded_headers_are_not_joined(front: NginxUnderTest) -> None:
    """Only its first line remains, for Nginx and for the edge."""
    request = b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n Transfer-Encoding: chunked\r\n"
    answer = await front.raw(request + b"Connection: close\r\n\r\n")
    if answer.startswith(b"HTTP/1.1 400 "):
        assert not front.upstream.requests
    else:
        assert [seen["headers"].get("x-test") for seen in front.upstream.requests] == ["a"]
        assert "transfer-encoding" not in front.upstream.requests[0]["headers"]


async def test_bare_line_feeds_are_normalised(front: NginxUnderTest) -> None:
    """Nginx accepts them, as RFC 9112, 2.2 allows, and forwards proper line ends."""
    request = b"POST /api/v1/orders HTTP/1.1\nHost: x\nX-Test: a\nContent-Length: 4\nConnection: close\n\nabcd"
    await front.raw(request)
    assert [(seen["target"], seen["headers"]["x-test"], seen["bytes"]) for seen in front.upstream.requests] == [
        ("/api/v1/orders", "a", 4)
    ]


async def test_a_bare_carriage_return_is_no_line_end(front: NginxUnderTest) -> None:
    answer = await front.raw(b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nX: a\rY: b\r\nConnection: close\r\n\r\n")
    assert not front.upstream.requests or "y" not in front.upstream.requests[0]["headers"], answer


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"x" * 9000, b"\r\n".join(b"X-%d: %s" % (n, b"x" * 1000) for n in range(40))]
)
async def test_headers_have_a_size_limit(front: NginxUnderTest, header: bytes) -> None:
    answer = await front.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not front.upstream.requests


async def test_slow_clients_do_not_delay_others(front: NginxUnderTest) -> None:
    """Many clients with unfinished requests do not keep others from being served."""
    begun = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(100)]
    for _, writer in begun:
        writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert (await front("GET", "/api/v1/orders")).status == 200
    for _, writer in begun:
        writer.close()
