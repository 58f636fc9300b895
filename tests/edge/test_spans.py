"""The spans of the edge, as a trace collector receives them."""

import aiohttp
import orjson

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import StubServices
from tests.support.http import HttpClient
from tests.support.trace_collector import trace_collector


async def test_a_new_trace_starts_with_a_root_that_names_the_route(edge_nats: Stack, services: StubServices) -> None:
    services.respond("catalog.get_product")
    failure = orjson.dumps({"title": "Internal error", "status": 500, "code": "internal_error", "detail": "-"})
    services.respond("cart.get", failure, Nats_Service_Error="internal_error", Nats_Service_Error_Code="500")
    with trace_collector() as collector:
        settings = EdgeSettings(
            _env_file=None,
            nats_url=edge_nats.nats_url,
            nats_password=edge_nats.nats_password("edge"),
            edge_port=0,
            edge_sample=1,
            otlp_endpoint=collector.endpoint,
        )
        async with serve_edge(settings, ConnectionMonitor(Metrics())) as port, aiohttp.ClientSession() as session:
            http = HttpClient(session, f"http://127.0.0.1:{port}")
            assert (await http.get("/products/brass-lamp")).status == 200
            assert (await http.get("/carts/a-secret")).status == 500
    found = collector.named("GET /api/v1/products/{key}")
    assert (found.service, found.parent_id, found.is_error) == ("souk-edge", "", False)
    assert found.attributes["http.route"] == "/api/v1/products/{key}"
    assert found.attributes["http.request.method"] == "GET"
    assert found.attributes["http.response.status_code"] == 200

    failed = collector.named("GET /api/v1/carts/{id}")
    assert failed.is_error
    assert failed.attributes["http.response.status_code"] == 500
    assert "a-secret" not in str(collector.spans), "a guest's cart id is a secret"

    sent = collector.named("send rpc.catalog.get_product")
    assert (sent.trace_id, sent.parent_id) == (found.trace_id, found.span_id)
    assert sent.attributes["messaging.destination.name"] == "rpc.catalog.get_product"
    request = next(each for each in services.requests if each.subject == "rpc.catalog.get_product")
    assert (request.header or {})["traceparent"] == f"00-{sent.trace_id}-{sent.span_id}-01"
