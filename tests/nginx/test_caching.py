"""What Nginx caches of the edge's responses, and for whom."""

import asyncio

import pytest

from tests.nginx.conftest import NginxUnderTest
from tests.support.eventually import eventually

PRODUCTS = "/api/v1/products"


async def test_public_responses_are_cached_as_declared(front: NginxUnderTest) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    first, second = [await front("GET", PRODUCTS) for _ in range(2)]
    assert (first.headers["X-Cache"], second.headers["X-Cache"]) == ("MISS", "HIT")
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"], "an id is of one request"
    assert len(front.upstream.requests) == 1
    assert (await front("GET", PRODUCTS + "?limit=1")).headers["X-Cache"] == "MISS"


@pytest.mark.parametrize("secret", [{"Authorization": "Bearer x"}, {"Cookie": "a=b"}])
async def test_private_responses_are_never_cached(front: NginxUnderTest, secret: dict[str, str]) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    await front("GET", PRODUCTS, headers=secret)
    assert (await front("GET", PRODUCTS)).headers["X-Cache"] == "MISS"
    assert (await front("GET", PRODUCTS, headers=secret)).headers["X-Cache"] == "BYPASS"
    assert len(front.upstream.requests) == 3


async def test_unmarked_responses_are_not_cached(front: NginxUnderTest) -> None:
    front.upstream.headers = {"Cache-Control": "no-store"}
    assert [(await front("GET", PRODUCTS)).headers["X-Cache"] for _ in range(2)] == ["MISS", "MISS"]


async def test_concurrent_requests_for_one_response_are_merged(front: NginxUnderTest) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60"}
    front.upstream.release = asyncio.Event()
    asking = [asyncio.create_task(front("GET", PRODUCTS)) for _ in range(20)]
    await eventually(lambda: front.upstream.requests)
    front.upstream.release.set()
    assert {response.status for response in await asyncio.gather(*asking)} == {200}
    assert len(front.upstream.requests) < len(asking) / 2


async def test_a_matching_etag_returns_304(front: NginxUnderTest) -> None:
    front.upstream.headers = {"Cache-Control": "public, max-age=60", "ETag": '"7"'}
    response = await front("GET", PRODUCTS, headers={"If-None-Match": '"7"'})
    assert (response.status, response.body) == (304, b"")
    assert (
        "if-none-match" not in front.upstream.requests[0]["headers"]
    )  # a 304 of the edge would be cached for everyone


async def test_the_edge_compares_the_etag_of_a_response_that_is_not_cached(front: NginxUnderTest) -> None:
    await front("GET", PRODUCTS, headers={"Authorization": "Bearer x", "If-None-Match": 'W/"7.ab"'})
    assert front.upstream.requests[0]["headers"]["if-none-match"] == 'W/"7.ab"'
