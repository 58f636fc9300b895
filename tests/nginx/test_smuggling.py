"""Two readers of one request must see the same of it: what could be read in two ways does not pass Nginx."""

import asyncio

import pytest

from tests.nginx.conftest import Front

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
async def test_what_could_be_read_in_two_ways_is_refused(front: Front, request_: bytes) -> None:
    """The connection ends with the refusal, so that nothing behind it is taken for another request."""
    answer = await front.raw(request_)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not front.upstream.seen


@pytest.mark.parametrize("size", [b"4;x=\n", b"0x4", b"+4", b"-1", b"fffffffffffffffff"])
async def test_chunks_of_a_doubtful_size_hide_nothing(front: Front, size: bytes) -> None:
    request = POST + CHUNKED + b"Connection: close\r\n\r\n" + size + b"\r\nabcd\r\n0\r\n\r\n"
    answer = await front.raw(request)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert not front.upstream.seen


async def test_what_follows_a_size_is_not_handed_on(front: Front) -> None:
    """Whatever Nginx makes of it, the edge is told one length in one way."""
    request = POST + CHUNKED + b"Connection: close\r\n\r\n4 4;x=y\r\nabcd\r\n0\r\n\r\n" + HIDDEN
    await front.raw(request)
    assert {(seen["target"], seen["headers"].get("content-length")) for seen in front.upstream.seen} <= {
        ("/api/v1/orders", "4")
    }
    assert not any("transfer-encoding" in seen["headers"] for seen in front.upstream.seen)


async def test_a_folded_header_is_not_unfolded(front: Front) -> None:
    """What is left of it is what stood in its first line, for every reader."""
    request = b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n Transfer-Encoding: chunked\r\n"
    answer = await front.raw(request + b"Connection: close\r\n\r\n")
    if answer.startswith(b"HTTP/1.1 400 "):
        assert not front.upstream.seen
    else:
        assert [seen["headers"].get("x-test") for seen in front.upstream.seen] == ["a"]
        assert "transfer-encoding" not in front.upstream.seen[0]["headers"]


async def test_lines_that_end_without_a_return_are_written_anew(front: Front) -> None:
    """Nginx reads them as lines, as it may (RFC 9112, 2.2), and writes what it read in the one way there is."""
    request = b"POST /api/v1/orders HTTP/1.1\nHost: x\nX-Test: a\nContent-Length: 4\nConnection: close\n\nabcd"
    await front.raw(request)
    assert [(seen["target"], seen["headers"]["x-test"], seen["bytes"]) for seen in front.upstream.seen] == [
        ("/api/v1/orders", "a", 4)
    ]


async def test_a_return_alone_does_not_end_a_line(front: Front) -> None:
    answer = await front.raw(b"GET /api/v1/orders HTTP/1.1\r\nHost: x\r\nX: a\rY: b\r\nConnection: close\r\n\r\n")
    assert not front.upstream.seen or "y" not in front.upstream.seen[0]["headers"], answer


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"x" * 9000, b"\r\n".join(b"X-%d: %s" % (n, b"x" * 1000) for n in range(40))]
)
async def test_headers_have_a_limit(front: Front, header: bytes) -> None:
    answer = await front.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not front.upstream.seen


async def test_who_sends_headers_slowly_holds_up_nobody(front: Front) -> None:
    """Many who have begun a request and do not end it leave room for those who do."""
    begun = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(100)]
    for _, writer in begun:
        writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert (await front("GET", "/api/v1/orders")).status == 200
    for _, writer in begun:
        writer.close()
