"""The event stream of an order: complete and without repetition, however it is interrupted, and ended in time."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import orjson
import pytest

from contracts import headers
from contracts.failure import NotFound, Unavailable
from contracts.identity import Role
from contracts.order import EventStreamGrant
from edge.app import serve_edge
from edge.event_streams import open_event_streams
from edge.event_streams.order_event_stream import OrderEventStream
from edge.settings import EdgeSettings
from infra.foundation.ids import new_id
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.topology import REVOKED_SESSIONS
from infra.ops.devstack.stack import Stack
from tests.edge.conftest import OpenEdge, RunningEdge, StubServices
from tests.edge.order_event_publisher import PublishedOrder
from tests.edge.token_signing import TokenSigner
from tests.support.eventually import eventually
from tests.support.http import HttpClient
from tests.support.server_sent_events import event_stream

HEARTBEAT_SECONDS = 0.1


@pytest.fixture
async def running(open_edge: OpenEdge, services: StubServices) -> RunningEdge:
    assert services
    return await open_edge(edge_heartbeat=HEARTBEAT_SECONDS)


@pytest.fixture
def customer(running: RunningEdge, signer: TokenSigner) -> HttpClient:
    return running.http.with_token(signer.token(sub=str(new_id()), sid=str(new_id())))


@pytest.fixture
async def order(services: StubServices) -> PublishedOrder:
    """A pending order."""
    published = PublishedOrder(services)
    published.reply("pending")
    await published.publish("placed")
    return published


async def test_history_comes_first_and_then_each_status_as_it_is_reached(
    customer: HttpClient, order: PublishedOrder
) -> None:
    async with event_stream(customer, order.path) as stream:
        placed = await stream.next()
        assert placed is not None
        assert (placed.name, placed.id, stream.retry) == ("pending", str(order.sequences[0]), 3000)
        assert placed.data.keys() == {"status", "at", "order_version"}
        assert (placed.data["status"], placed.data["order_version"]) == ("pending", 1)
        waiting = asyncio.create_task(stream.next())
        await eventually(lambda: stream.comments)
        await order.publish("paid")
        assert await waiting
        await order.publish("claimed")  # says nothing about the status
        await order.publish("shipped", units_left=1)
        await order.publish("shipped", units_left=0)
        assert await stream.take(2) == ["paid", "shipped"]
        await order.publish("cancelled", reason="admin")
        cancelled = await stream.next()
        assert cancelled is not None
        assert cancelled.data["note"] == "admin"
    sent = stream.response.headers
    assert sent["Content-Type"] == "text/event-stream"
    assert (sent["Cache-Control"], sent["X-Accel-Buffering"]) == ("no-store", "no")


async def test_a_hint_says_when_to_read(open_edge: OpenEdge, order: PublishedOrder, signer: TokenSigner) -> None:
    """Long before the next heartbeat."""
    http = (await open_edge(edge_heartbeat=50.0)).http.with_token(signer.token())
    async with event_stream(http, order.path) as stream:
        assert await stream.take(1) == ["pending"]
        await order.publish("paid")
        assert await stream.take(1) == ["paid"]


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_client_resumes_without_a_gap_or_a_repetition(
    customer: HttpClient, order: PublishedOrder, by: str
) -> None:
    received = []
    last_event_id = ""
    for name in ("paid", "shipped", "delivered"):
        query = f"?last_event_id={last_event_id}" if by == "query" and last_event_id else ""
        sent = {"Last_Event_ID": last_event_id} if by == "header" and last_event_id else {}
        async with event_stream(customer, order.path + query, **sent) as stream:
            received += await stream.take(1)
            last_event_id = stream.last_event_id
        await order.publish(name)
    async with event_stream(customer, order.path, Last_Event_ID=last_event_id) as stream:
        received += await stream.take(1)
    assert received == ["pending", "paid", "shipped", "delivered"]


@pytest.mark.parametrize("unknown", ["no number", "-1", "007", "9" * 18, "9" * 40, "of another order"])
async def test_an_unknown_last_event_begins_again(
    customer: HttpClient, services: StubServices, order: PublishedOrder, unknown: str
) -> None:
    if unknown == "of another order":
        another = PublishedOrder(services)
        await another.publish("placed")
        unknown = str(another.sequences[0])
        await order.publish("paid")
    async with event_stream(customer, order.path, Last_Event_ID=unknown) as stream:
        assert stream.response.status == 200
        assert await stream.take(2) == ["reset", "pending"]


async def test_the_end_is_said_and_then_there_is_nothing_to_reconnect_to(
    customer: HttpClient, order: PublishedOrder
) -> None:
    async with event_stream(customer, order.path) as stream:
        await stream.take(1)
        await order.publish("cancelled")
        assert await stream.rest() == ["cancelled", "end"]
        assert stream.last_event_id == str(order.sequences[-1])
    order.reply("pending", "cancelled", is_final=True)
    resumed = {"Last-Event-ID": stream.last_event_id}
    assert (await customer.get(order.path, headers=resumed)).status == 204
    async with event_stream(customer, order.path, Last_Event_ID=str(order.sequences[0])) as stream:
        assert await stream.rest() == ["cancelled", "end"]


async def test_a_delivered_order_ends_once_it_can_no_longer_be_sent_back(
    customer: HttpClient, order: PublishedOrder
) -> None:
    await order.publish("paid", "shipped", "delivered")
    order.reply("pending", "paid", "shipped", "delivered", is_final=True)
    async with event_stream(customer, order.path) as stream:
        assert await stream.rest() == ["pending", "paid", "shipped", "delivered", "end"]


async def test_a_final_status_whose_event_is_on_its_way_is_waited_for(
    customer: HttpClient, order: PublishedOrder
) -> None:
    """The database is ahead of the stream."""
    order.reply("pending", "cancelled", is_final=True)
    resumed = {"Last_Event_ID": str(order.sequences[0])}
    async with event_stream(customer, order.path, **resumed) as stream:
        assert stream.response.status == 200
        await order.publish("cancelled")
        assert await stream.rest() == ["cancelled", "end"]


async def test_statuses_older_than_the_stream_come_from_the_history(
    customer: HttpClient, services: StubServices, order: PublishedOrder
) -> None:
    old = PublishedOrder(services)
    old.reply("pending", "pending", "paid", age=timedelta(days=100))
    await old.publish("shipped")
    async with event_stream(customer, old.path) as stream:
        first, second, third = [await stream.next() for _ in range(3)]
        assert first is not None
        assert second is not None
        assert third is not None
        assert [one.name for one in (first, second, third)] == ["pending", "paid", "shipped"]
        assert (first.id, second.id, third.id) == ("", "0", str(old.sequences[0]))
    async with event_stream(customer, old.path, Last_Event_ID="0") as stream:
        assert await stream.take(1) == ["shipped"]
    assert order.id != old.id


async def test_a_stream_outlasts_an_outage_of_nats(
    customer: HttpClient, edge_nats: Stack, order: PublishedOrder
) -> None:
    async with event_stream(customer, order.path) as stream:
        await stream.take(1)
        await edge_nats.stop("nats")
        await edge_nats.start("nats")
        await eventually(lambda: order.client.is_connected)
        await order.publish("paid")
        assert await stream.take(1) == ["paid"]


async def test_a_lost_hint_is_made_up_for_by_the_heartbeat(
    customer: HttpClient, order: PublishedOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderEventStream, "wake", lambda _self: None)
    async with event_stream(customer, order.path) as stream:
        await stream.take(1)
        await order.publish("paid")
        assert await stream.take(1) == ["paid"]


async def test_no_listener_has_a_consumer(customer: HttpClient, order: PublishedOrder) -> None:
    js = order.client.jetstream()
    before = (await js.stream_info("ORDER")).state.consumer_count
    async with event_stream(customer, order.path) as one, event_stream(customer, order.path) as another:
        assert [await one.take(1), await another.take(1)] == [["pending"], ["pending"]]
        assert (await js.stream_info("ORDER")).state.consumer_count == before


async def test_strangers_are_refused_by_the_order_service(
    running: RunningEdge, customer: HttpClient, services: StubServices, order: PublishedOrder
) -> None:
    assert (await running.http.get(order.path)).status == 401
    order.refuse(NotFound)
    refused = await customer.get(order.path)
    assert (refused.status, refused.code) == (404, "not_found")
    sent = services.last_request
    assert orjson.loads(sent.data) == {"id": str(order.id)}
    assert headers.IDENTITY in (sent.headers or {})


async def test_a_revoked_session_ends_its_streams_within_two_seconds(
    running: RunningEdge, order: PublishedOrder, services: StubServices, signer: TokenSigner
) -> None:
    session_id = new_id()
    http = running.http.with_token(signer.token(sid=str(session_id)))
    async with event_stream(http, order.path) as stream, asyncio.timeout(2):
        await stream.take(1)
        js = services.client.jetstream()
        await js.publish(REVOKED_SESSIONS.subject_for(session_id), b"", stream=REVOKED_SESSIONS.stream_name)
        assert await stream.rest() == []
    assert (await http.get(order.path)).status == 401


def grant(services: StubServices, **fields: object) -> None:
    body = EventStreamGrant.model_validate({"identity": None, "access_token": None, **fields})
    services.respond("order.redeem_event_stream_ticket", body.model_dump_json().encode())


async def test_a_ticket_stands_for_who_requested_it(
    running: RunningEdge, order: PublishedOrder, services: StubServices
) -> None:
    """So the end of their session ends its stream, and a ticket of an ended session opens none."""
    identity = {"user_id": new_id(), "role": Role.CUSTOMER, "session_id": new_id()}
    grant(services, identity=identity)
    path = f"{order.path}?ticket=a-ticket"
    async with event_stream(running.http, path) as stream:
        await stream.take(1)
        redeemed, followed = services.requests[-2:]
        assert orjson.loads(redeemed.data) == {"id": str(order.id), "ticket": "a-ticket"}
        assert b"ticket" not in followed.data
        sent = (followed.headers or {})[headers.IDENTITY]
        assert orjson.loads(sent)["user_id"] == str(identity["user_id"])
        subject = REVOKED_SESSIONS.subject_for(identity["session_id"])
        await services.client.jetstream().publish(subject, b"", stream=REVOKED_SESSIONS.stream_name)
        assert await stream.rest() == []
    assert (await running.http.get(path)).status == 401


async def test_a_guest_is_authorized_again_before_each_event(
    running: RunningEdge, order: PublishedOrder, services: StubServices
) -> None:
    """No session ends when an account claims the order, or the guest's data is erased."""
    http = running.http.with_order_token("the-token")
    async with event_stream(http, order.path) as stream:
        await stream.take(1)
        assert (services.last_request.headers or {})[headers.ORDER_TOKEN] == "the-token"
        order.refuse(Unavailable)  # it cannot say, so the stream goes on
        await order.publish("paid")
        assert await stream.take(1) == ["paid"]
        order.refuse(NotFound)
        assert await stream.rest() == []


async def test_a_customer_has_a_limited_number_of_streams(
    customer: HttpClient,
    running: RunningEdge,
    order: PublishedOrder,
    monkeypatch: pytest.MonkeyPatch,
    signer: TokenSigner,
) -> None:
    monkeypatch.setattr(open_event_streams, "MAX_STREAMS_OF_OWNER", 2)
    async with AsyncExitStack() as opened:
        for _ in range(2):
            await (await opened.enter_async_context(event_stream(customer, order.path))).take(1)
        async with event_stream(customer, order.path) as refused:
            assert refused.response.status == 429
        async with event_stream(running.http.with_token(signer.token(sub=str(new_id()))), order.path) as another:
            assert await another.take(1) == ["pending"]

    async def is_accepted() -> bool:
        async with event_stream(customer, order.path) as stream:
            return stream.response.status == 200

    await eventually(is_accepted)


async def test_a_client_that_does_not_read_is_cut_off(
    running: RunningEdge, services: StubServices, signer: TokenSigner
) -> None:
    """Once what it has not read fills the buffers of the system and of this edge."""
    order = PublishedOrder(services)
    order.reply("pending")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
    token = signer.token()
    writer.write(f"GET /api/v1{order.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 3000\n\n")
    for _ in range(60):
        await order.publish("paid", reason="x" * 200_000)

    async def is_cut_off() -> bool:
        return "souk_edge_event_streams 0.0" in (await running.http("GET", "//metrics")).body.decode()

    await eventually(is_cut_off)
    writer.close()


async def test_an_edge_that_stops_sends_its_clients_elsewhere(
    edge_nats: Stack, order: PublishedOrder, running: RunningEdge, signer: TokenSigner
) -> None:
    settings = EdgeSettings(
        _env_file=None, nats_url=edge_nats.nats_url, nats_password=edge_nats.nats_password("edge"), edge_port=0
    )
    async with AsyncExitStack() as serving:
        port = await serving.enter_async_context(serve_edge(settings, ConnectionMonitor(Metrics())))
        http = HttpClient(running.http.session, f"http://127.0.0.1:{port}", signer.token())
        async with event_stream(http, order.path) as stream:
            assert (await stream.take(1), stream.retry) == (["pending"], 3000)
            async with asyncio.timeout(3):  # before the edge would give up open connections
                stopping = asyncio.create_task(serving.aclose())
                assert await stream.rest() == []
                assert 500 <= stream.retry <= 5000
                await stopping


async def test_a_head_request_opens_no_stream(customer: HttpClient, order: PublishedOrder) -> None:
    response = await customer("HEAD", order.path)
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
