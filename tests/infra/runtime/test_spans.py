"""The spans of a service, as a trace collector receives them: requests, statements and events."""

from importlib.metadata import version

import pytest
from nats.aio.client import Client

from contracts import headers
from contracts.failure import InternalError
from contracts.identity import Access
from contracts.model import Empty, Id, Model
from contracts.money import Money
from contracts.operation import Operation
from contracts.order import OrderPaid
from infra.database.postgres import Database
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from infra.runtime.service import ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller
from tests.support.trace_collector import ReceivedSpan, TraceCollector, trace_collector

PARENT = trace.parse("00-" + "a" * 32 + "-" + "b" * 16 + "-01")


class PayOrder(Model):
    order_id: Id


PAY = Operation("order", "test_pay", PayOrder, Empty, "Pay", Access.ANYONE, writes=True)
FAIL = Operation("order", "test_fail", PayOrder, Empty, "Fail", Access.ANYONE, writes=True)


async def pay(database: Database, request: Request[PayOrder]) -> Empty:
    async with database.transaction() as tx:
        await tx.connection.fetchval("SELECT $1::text || 'seen'", "a value")
        tx.publish(
            OrderPaid(
                order_id=request.body.order_id,
                number="S-1",
                user_id=None,
                total=Money(amount=100, currency="USD"),
                hold_id=new_id(),
                payment_id=new_id(),
                items=[],
            )
        )
    return Empty()


async def fail(database: Database, _request: Request[PayOrder]) -> Empty:
    async with database.connection() as connection:
        await connection.fetchval("SELECT 1 / $1::int", 0)
    return Empty()


@pytest.fixture
async def collector(kernel: KernelStack, kernel_client: Client, kernel_rpc: RpcCaller) -> TraceCollector:
    """What a collector received of one request that worked and one that failed."""
    order_id = new_id()
    published = await kernel_client.subscribe(f"event.order.{order_id}.paid")
    with trace_collector() as collector:
        async with kernel.serve(
            lambda resources: ServiceParts(resources.store), {PAY: pay, FAIL: fail}, otlp_endpoint=collector.endpoint
        ):
            with trace.activate(PARENT):
                await kernel_rpc(PAY, PayOrder(order_id=order_id))
                with pytest.raises(InternalError):
                    await kernel_rpc(FAIL, PayOrder(order_id=order_id))
            event = await published.next_msg(timeout=10)
            await eventually(lambda: is_outbox_empty(kernel))
        await eventually(lambda: any(span.name == "send souk.order.paid" for span in collector.spans))
    await published.unsubscribe()
    assert event.headers is not None
    assert event.headers[headers.EVENT_SUBJECT] == str(order_id)
    sent = collector.named("send souk.order.paid")
    assert trace.parse(event.headers[headers.TRACEPARENT]).span_id == sent.span_id, "a consumer's span is a child"
    return collector


async def test_a_trace_shows_request_statements_and_events(collector: TraceCollector) -> None:
    server = collector.named(f"process {PAY.subject}")
    assert (server.service, server.service_version) == ("souk-order", version("souk"))
    assert not server.is_error
    assert server.trace_id == PARENT.trace_id
    assert server.attributes["messaging.system"] == "nats"
    assert server.attributes["messaging.destination.name"] == PAY.subject

    statements = [span for span in collector.spans if span.parent_id == server.span_id and is_statement(span)]
    assert {"BEGIN", "SELECT", "INSERT", "COMMIT"} <= {span.name for span in statements}
    (select,) = [span for span in statements if "seen" in str(span.attributes["db.query.text"])]
    assert select.attributes["db.query.text"] == "SELECT $1::text || 'seen'"
    assert select.attributes["db.namespace"] == "souk_order"
    assert not any("a value" in str(span.attributes) for span in statements), "a span holds no values"

    sent = collector.named("send souk.order.paid")
    assert sent.parent_id == server.span_id
    assert sent.attributes["messaging.destination.name"] == OrderPaid.subject_pattern()


async def test_a_server_error_marks_its_span(collector: TraceCollector) -> None:
    failed = collector.named(f"process {FAIL.subject}")
    assert failed.is_error
    assert failed.attributes["error.type"] == InternalError.code


async def test_a_failed_statement_marks_its_span(collector: TraceCollector) -> None:
    (statement,) = [span for span in collector.spans if span.attributes.get("db.query.text") == "SELECT 1 / $1::int"]
    assert statement.parent_id == collector.named(f"process {FAIL.subject}").span_id
    assert statement.is_error
    assert statement.attributes["error.type"] == "DivisionByZeroError"


async def is_outbox_empty(kernel: KernelStack) -> bool:
    connection = await kernel.database()
    try:
        return not await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()


def is_statement(span: ReceivedSpan) -> bool:
    return span.attributes.get("db.system.name") == "postgresql"
