"""Public replies that the edge keeps for a moment: what is shared, with whom, and what is never kept."""

import asyncio

import pytest

from contracts import catalog, headers
from contracts.failure import NotFound
from edge.routes import ROUTES, Route
from edge.upstream.load_shedding import DECREASE_FACTOR, INITIAL_LIMIT
from infra.foundation.ids import new_id
from tests.edge.conftest import OpenEdge, RunningEdge, StubServices
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient

LAMP = "/products/brass-lamp"
QUERIES = {"/products/search": "?q=lamp", "/products/suggest": "?q=la"}


def path_of(route: Route) -> str:
    path = route.path.replace("{key}", "brass-lamp").replace("{sku}", "LAMP-1").replace("{n}", "1")
    return path.replace("erasures/{id}", "erasures/" + "a" * 43).replace("{id}", str(new_id())) + QUERIES.get(path, "")


PUBLIC = [route for route in ROUTES if route.max_age]
STUBBED = {"user", "catalog", "cart", "order"}
PRIVATE = [r for r in ROUTES if r.method == "GET" and not r.max_age and r.operation.service in STUBBED]


@pytest.fixture
async def opened(open_edge: OpenEdge, monkeypatch: pytest.MonkeyPatch) -> RunningEdge:
    """An edge whose public replies do not expire within a test."""
    monkeypatch.setattr(Route, "max_age", property(lambda route: 60 if route.cache_control else 0))
    return await open_edge(edge_cache_seconds=60)


@pytest.fixture
def http(opened: RunningEdge) -> HttpClient:
    return opened.http


@pytest.mark.parametrize("route", PUBLIC, ids=lambda route: route.path)
async def test_a_public_reply_is_shared_by_guests_and_customers(
    http: HttpClient, services: StubServices, signer: TokenSigner, route: Route
) -> None:
    services.respond(f"catalog.{route.operation.name}", b'{"items":[]}', Souk_Version="3")
    path, customer = path_of(route), http.with_token(signer.token())
    first, second = await http.get(path), await customer.get(path)
    assert [len(services.requests), first.body, second.body] == [1, b'{"items":[]}', first.body]
    assert ("Age" in first.headers, second.headers["Age"]) == (False, "0")
    assert first.headers["Cache-Control"] == "public, max-age=1"
    assert second.headers["Cache-Control"] == "private, no-cache", "the caller's own headers, not those of the first"
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    sent = services.requests[0].headers or {}
    assert not {headers.IDENTITY, headers.CLIENT_IP} & sent.keys(), "the reply cannot depend on the first caller"


async def test_a_reply_with_a_price_that_is_about_to_change_is_not_left_to_shared_caches(
    http: HttpClient, services: StubServices
) -> None:
    """Shared caches here keep a reply for 60 seconds, and the edge serves an old one for half a second more."""
    for key, seconds, cache_control in (("lamp-1", "60.4", "public, max-age=0"), ("lamp-2", "99", "public, max-age=1")):
        services.respond("catalog.get_product", b"{}", Souk_Valid_Seconds=seconds)
        assert (await http.get(f"/products/{key}")).headers["Cache-Control"] == cache_control


async def test_equal_queries_share_a_reply_and_others_do_not(http: HttpClient, services: StubServices) -> None:
    for query in ("q=lamp&limit=5", "limit=5&q=lamp", "limit=5&q=l%61mp"):
        assert (await http.get(f"/products?{query}")).status == 200
    assert len(services.requests) == 1
    for query in ("q=lamp&limit=6", "q=Lamp&limit=5", "q=lamp&limit=5&sort=price"):
        await http.get(f"/products?{query}")
    await http.get("/products/search?q=lamp&limit=5")
    assert len(services.requests) == 5


async def test_administrators_and_api_keys_never_get_a_kept_reply(
    http: HttpClient, services: StubServices, signer: TokenSigner
) -> None:
    admin = http.with_token(signer.token(role="admin"))
    services.respond("catalog.get_product", b'{"draft":true}')
    assert (await admin.get(LAMP)).body == b'{"draft":true}'
    services.respond("catalog.get_product", b'{"draft":false}')
    assert (await http.get(LAMP)).body == b'{"draft":false}', "what an administrator sees is not kept"
    services.respond("catalog.get_product", b'{"draft":true}')
    for _ in range(2):
        response = await admin.get(LAMP)
        assert (response.body, "Age" in response.headers) == (b'{"draft":true}', False)
        assert headers.IDENTITY in (services.last_request.headers or {})
    assert len(services.requests) == 4


@pytest.mark.parametrize("route", PRIVATE, ids=lambda route: route.path)
async def test_a_private_reply_is_never_kept(
    http: HttpClient, services: StubServices, signer: TokenSigner, route: Route
) -> None:
    caller = http.with_token(signer.token(role="admin" if route.operation.access == "admin" else "customer"))
    for _ in range(2):
        await caller.get(path_of(route))
    assert len(services.requests) == 2


async def test_a_limited_client_gets_no_kept_reply(
    open_edge: OpenEdge, services: StubServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Route, "max_age", property(lambda _: 60))
    http = (await open_edge(edge_limits=1 / 3000, edge_cache_seconds=60)).http
    statuses = [(await http.get(LAMP, headers={"X-Forwarded-For": "192.0.2.7"})).status for _ in range(3)]
    assert (statuses, len(services.requests)) == ([200, 200, 429], 1)


async def test_kept_replies_do_not_count_for_load_shedding(
    open_edge: OpenEdge, services: StubServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Route, "max_age", property(lambda _: 60))
    opened = await open_edge(edge_latency_target=1e-9, edge_cache_seconds=60)  # so every response that counts is slow
    for _ in range(20):
        assert (await opened.http.get(LAMP)).status == 200
    limit = opened.monitor.metrics.registry.get_sample_value("souk_edge_limit")
    assert limit is not None
    assert limit >= DECREASE_FACTOR * INITIAL_LIMIT, "only the first one counted"


async def test_a_kept_reply_answers_conditional_requests_and_head(http: HttpClient, services: StubServices) -> None:
    services.respond("catalog.get_product", b'{"id":"7"}', Souk_Version="3")
    etag = (await http.get(LAMP)).headers["ETag"]
    for value in (etag, f"W/{etag}", f'"1.other", {etag}', "*"):
        response = await http.get(LAMP, headers={"If-None-Match": value})
        assert (response.status, response.body, response.headers["ETag"]) == (304, b"", etag)
    assert (await http.get(LAMP, headers={"If-None-Match": '"3.other"'})).status == 200
    head = await http("HEAD", LAMP)
    assert (head.status, head.body, head.headers["Content-Length"], head.headers["ETag"]) == (200, b"", "10", etag)
    assert len(services.requests) == 1


async def test_an_old_slug_leads_to_the_path_of_the_current_one(http: HttpClient, services: StubServices) -> None:
    services.respond("catalog.get_product", b'{"id":"7"}', Souk_Version="3", Souk_Moved_To="new-lamp")
    for method in ("GET", "HEAD"):
        response = await http(method, LAMP, headers={"If-None-Match": "*"})
        assert (response.status, response.body) == (301, b"")
        assert response.headers["Location"] == "/api/v1/products/new-lamp"
        assert response.headers["Cache-Control"] == "public, max-age=1"
        assert "ETag" not in response.headers
    assert len(services.requests) == 1


async def test_a_failure_is_not_kept(http: HttpClient, services: StubServices) -> None:
    for status in ("404", "503", "500"):
        services.respond(
            "catalog.get_product", NotFound().to_json(), Nats_Service_Error="not_found", Nats_Service_Error_Code=status
        )
        assert (await http.get(LAMP)).status == int(status)
    services.respond("catalog.get_product")
    assert (await http.get(LAMP)).status == 200
    assert len(services.requests) == 4


async def test_simultaneous_requests_share_one_fetch(opened: RunningEdge, services: StubServices) -> None:
    services.responders[catalog.LIST_PRODUCTS.subject] = lambda _: None
    several = [asyncio.create_task(opened.http.get("/products")) for _ in range(10)]
    await _joined(opened, 9)
    await eventually(lambda: services.requests)
    fail = NotFound()
    failed = {headers.ERROR: fail.code, headers.ERROR_CODE: "404"}
    await services.client.publish(services.last_request.reply, fail.to_json("theirs"), headers=failed)
    refused = [one for one in await asyncio.gather(*several) if one.json["request_id"] != "theirs"]
    assert len(refused) == 9, "the first one gets the reply as it is"
    assert all((one.status, one.json["request_id"]) == (404, one.headers["X-Request-Id"]) for one in refused)
    assert len({one.json["request_id"] for one in refused}) == 9
    assert len(services.requests) == 1


async def _joined(opened: RunningEdge, count: int) -> None:
    registry = opened.monitor.metrics.registry
    await eventually(lambda: registry.get_sample_value("souk_edge_cache_total", {"result": "joined"}) == count)


async def test_without_the_cache_every_request_is_fetched(open_edge: OpenEdge, services: StubServices) -> None:
    http = (await open_edge(edge_cache_seconds=0)).http
    for _ in range(2):
        assert "Age" not in (await http.get(LAMP)).headers
    assert len(services.requests) == 2
