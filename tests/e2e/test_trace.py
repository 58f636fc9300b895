"""One trace of a whole purchase, as a trace collector receives it: from the edge's root to the mails."""

from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from contracts.catalog import Product
from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.ids import new_id
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer, register_customer
from tests.support.trace_collector import ReceivedSpan, TraceCollector

NewProduct = Callable[..., Awaitable[Product]]


@pytest.fixture
async def sampling_http(
    stack: Stack, stack_spans: TraceCollector, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[HttpClient]:
    """A client of one more edge of the stack, which records every request."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    settings = EdgeSettings(
        _env_file=None,
        nats_url=stack.nats_url,
        nats_password=stack.nats_password("edge"),
        edge_port=0,
        edge_sample=1,
        otlp_endpoint=stack_spans.endpoint,
    )
    async with serve_edge(settings, ConnectionMonitor(Metrics())) as port, aiohttp.ClientSession() as session:
        yield HttpClient(session, f"http://127.0.0.1:{port}")


def trace_with(collector: TraceCollector, root: str) -> list[ReceivedSpan]:
    """The spans of the only trace with this root."""
    trace_ids = {span.trace_id for span in collector.spans if span.name == root and not span.parent_id}
    assert len(trace_ids) == 1
    return [span for span in collector.spans if span.trace_id in trace_ids]


def is_connected(spans: list[ReceivedSpan]) -> bool:
    """Whether every span but the root has its parent in the same trace."""
    return {span.parent_id for span in spans} - {span.span_id for span in spans} == {""}


async def test_a_purchase_is_one_trace_from_the_edge_to_the_mails(
    sampling_http: HttpClient, stack_spans: TraceCollector, new_product: NewProduct
) -> None:
    product = await new_product(stock=5)
    guest = await sampling_http.post("/carts", key=f"secret-{new_id().hex}")
    customer = await register_customer(sampling_http)
    merged = await customer.http.post("/carts/mine/merge", {"cart_id": guest.json["id"]})
    assert merged.status == 200, merged.body
    await customer.http.post("/carts/mine/items", {"sku": product.variants[0].sku, "quantity": 2})
    body = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    key = f"secret-{new_id().hex}"
    placed = await customer.http.post("/orders", body, key=key)
    assert placed.status == 201, placed.body

    def purchase() -> list[ReceivedSpan]:
        spans = trace_with(stack_spans, "POST /api/v1/orders")
        assert {span.attributes["souk.mail.kind"] for span in spans if span.name == "send mail"} == {
            "order_placed",
            "order_paid",
        }
        assert {span.service for span in spans} == {f"souk-{name}" for name in SERVICES}
        assert is_connected(spans)
        return spans

    spans = await eventually(purchase)
    assert not any(span.is_error for span in spans)
    for kind in KINDS:
        assert any(kind.items() <= span.attributes.items() for span in spans), kind
    assert any(span.name == "call simulator" for span in spans)
    assert all(span.attributes.get("db.collection.name") != "1" for span in stack_spans.spans), "a commit concerns none"
    assert_holds_no_secret(stack_spans, customer, [guest.json["id"], key, product.variants[0].sku])


def assert_holds_no_secret(collector: TraceCollector, customer: RegisteredCustomer, secrets: list[str]) -> None:
    text = str([(span.name, span.attributes) for span in collector.spans])
    tokens = [customer.session["access_token"], customer.session["refresh_token"]]
    for secret in (customer.email, customer.password, *tokens, *secrets, ADDRESS["line1"]):
        assert secret not in text


SERVICES = ("edge", "cart", "catalog", "order", "payment", "notification", "user")
KINDS: list[dict[str, str | int]] = [
    {"http.route": "/api/v1/orders", "http.response.status_code": 201},
    {"messaging.system": "nats", "messaging.destination.name": "rpc.order.place"},
    {"messaging.operation.type": "process", "cloudevents.event_type": "souk.order.placed"},
    {"messaging.operation.type": "send", "messaging.destination.name": "event.order.*.paid"},
    {"db.system.name": "postgresql", "db.namespace": "souk_order", "db.operation.name": "COMMIT"},
    {"db.system.name": "mongodb", "db.collection.name": "carts", "db.operation.name": "find"},
]
