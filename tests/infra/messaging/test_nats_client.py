"""The NATS client: messages are measured, requests get their own replies, and closing leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import headers, order
from contracts.failure import PayloadTooLarge
from contracts.size_limits import MAX_MESSAGE_BYTES
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor, connect
from infra.messaging.nats_client import MessageTooLargeError, NatsClient, message_size
from infra.messaging.rpc_client import RpcClient
from infra.messaging.topology import DEAD_LETTER_STREAM
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually

HEADER = {"Nats-Msg-Id": "größe", "Souk-Test": "  value  "}


@pytest.fixture
async def monitor() -> ConnectionMonitor:
    return ConnectionMonitor(Metrics())


@pytest.fixture
async def client(kernel: KernelStack, monitor: ConnectionMonitor) -> AsyncIterator[Client]:
    password = kernel.stack.nats_password("operator")
    async with connect(kernel.stack.nats_url, "operator", password, monitor) as connected:
        yield connected


def largest_payload(header: dict[str, str] | None) -> bytes:
    return bytes(MAX_MESSAGE_BYTES - message_size(b"", header))


def test_a_message_is_measured_with_its_headers() -> None:
    assert message_size(b"body", None) == 4
    assert message_size(b"body", {"A": "é"}) == len("NATS/1.0\r\nA: é\r\n\r\nbody".encode())


@pytest.mark.parametrize("header", [None, {"Souk-Test": "x" * 5000}])
async def test_the_largest_message_arrives_and_one_byte_more_is_not_sent(
    client: Client, header: dict[str, str] | None
) -> None:
    inbox = client.new_inbox()
    received = await client.subscribe(inbox)
    payload = largest_payload(header)
    assert client.max_payload == MAX_MESSAGE_BYTES
    with pytest.raises(MessageTooLargeError):
        await client.publish(inbox, payload + b"x", headers=header)
    await client.publish(inbox, payload, headers=header)
    assert len((await received.next_msg(timeout=10)).data) == len(payload)
    await received.unsubscribe()
    assert client.stats["reconnects"] == 0


async def test_every_kind_of_publisher_is_measured(client: Client) -> None:
    """Requests, events, key-value buckets and replies all pass the same check."""
    js = client.jetstream()
    payload = largest_payload(None)
    with pytest.raises(MessageTooLargeError):
        await client.request("rpc.order.nothing", payload, headers=HEADER)
    with pytest.raises(MessageTooLargeError):
        await js.publish("dead.order.ORDER", payload, stream=DEAD_LETTER_STREAM, headers=HEADER)
    with pytest.raises(MessageTooLargeError):
        await js.publish_async("dead.order.ORDER", payload, stream=DEAD_LETTER_STREAM, headers=HEADER)
    with pytest.raises(PayloadTooLarge):
        await RpcClient(client, 2).request_bytes(order.LIST.subject, payload, {headers.CLIENT_IP: "127.0.0.1"})
    await client.flush()
    assert client.stats["reconnects"] == 0


async def test_a_connection_that_nats_closes_for_one_message_comes_back(
    client: Client, monitor: ConnectionMonitor
) -> None:
    """nats-py itself closes such a connection for good, which ends the process."""
    inbox = client.new_inbox()
    received = await client.subscribe(inbox)
    await client.flush()
    await Client.publish(client, inbox, largest_payload(None), headers=HEADER)
    await eventually(lambda: client.stats["reconnects"] == 1 and client.is_connected)
    assert not monitor.closed.is_set()
    await client.publish(inbox, b"still here")
    assert (await received.next_msg(timeout=10)).data == b"still here"


async def test_a_request_that_ends_leaves_nothing_behind(client: NatsClient) -> None:
    """Whether it is answered, refused by the server, late, or given up by its caller."""
    subject, requests = client.new_inbox(), []

    async def answer(message: Msg) -> None:
        requests.append(message)
        if message.data == b"now":
            await client.publish(message.reply, b"reply", headers={headers.VERSION: "7"})

    subscription = await client.subscribe(subject, cb=answer)
    reply = await client.request(subject, b"now", timeout=10)
    assert (reply.data, reply.headers) == (b"reply", {headers.VERSION: "7"})
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request(client.new_inbox(), timeout=10)
    with pytest.raises(nats.errors.TimeoutError):
        await client.request(subject, b"late", timeout=0.01)
    given_up = asyncio.create_task(client.request(subject, b"late", timeout=10))
    await eventually(lambda: len(requests) == 3)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert not client._resp_map
    for late in requests[1:]:
        await client.publish(late.reply, b"too late")
    assert (await client.request(subject, b"now", timeout=10)).data == b"reply"
    await subscription.unsubscribe()


async def test_concurrent_requests_get_their_own_replies(client: NatsClient) -> None:
    subject, waiting = client.new_inbox(), []
    await client.subscribe_directly(subject, waiting.append)
    requests = [asyncio.create_task(client.request(subject, bytes([number]), timeout=10)) for number in range(20)]
    await eventually(lambda: len(waiting) == 20)
    for message in reversed(waiting):
        await client.publish(message.reply, message.data)
    assert [reply.data for reply in await asyncio.gather(*requests)] == [bytes([number]) for number in range(20)]


async def test_a_receiver_that_fails_is_reported_and_gets_the_next_message(
    client: NatsClient, monitor: ConnectionMonitor
) -> None:
    subject, received = client.new_inbox(), []

    def receive(message: Msg) -> None:
        received.append(message.data)
        if message.data == b"bad":
            raise ZeroDivisionError

    await client.subscribe_directly(subject, receive)
    await client.publish(subject, b"bad")
    await client.publish(subject, b"good")
    await eventually(lambda: received == [b"bad", b"good"])
    assert monitor.metrics.registry.get_sample_value("souk_nats_errors_total", {"kind": "ZeroDivisionError"}) == 1


async def test_a_drained_subscription_has_received_what_was_sent(client: NatsClient) -> None:
    subject, received = client.new_inbox(), []
    subscription = await client.subscribe_directly(subject, received.append)
    for _ in range(100):
        await client.publish(subject, b"x")
    await subscription.drain()
    assert len(received) == 100
    await client.publish(subject, b"x")
    await client.flush()
    assert len(received) == 100


async def test_a_ping_is_sent_behind_what_was_published(client: NatsClient) -> None:
    """So its pong tells that the server has read all of it, and `flush` and `drain` mean what they say."""
    await client.publish(client.new_inbox(), b"before")
    await client._send_ping()
    assert [command.split()[0] for command in client._pending] == [b"PUB", b"PING"]


async def test_requests_and_receivers_outlive_the_connection(client: NatsClient, kernel: KernelStack) -> None:
    subject, received = client.new_inbox(), []
    await client.subscribe_directly(subject, received.append)
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request(client.new_inbox(), timeout=10)
    kernel.stack.kill("nats")
    await kernel.stack.wait_until_ready("nats")
    await eventually(lambda: client.is_connected)
    with pytest.raises(nats.errors.NoRespondersError):
        await client.request(client.new_inbox(), timeout=10)
    await client.publish(subject, b"after")
    await eventually(lambda: [message.data for message in received] == [b"after"])


@pytest.mark.parametrize("subject", ["", "with space", "two\r\nPUB lines", "tab\tinside"])
async def test_a_subject_that_is_no_subject_is_refused(client: NatsClient, subject: str) -> None:
    with pytest.raises(nats.errors.BadSubjectError):
        await client.publish(subject, b"")
    with pytest.raises(nats.errors.BadSubjectError):
        await client.publish("inbox", b"", reply=subject or "with space")


async def test_closing_ends_a_reconnection_that_drops_a_cancellation(client: NatsClient) -> None:
    async def reconnect() -> None:
        with suppress(asyncio.CancelledError):  # as `asyncio.wait_for` does when an attempt fails at that moment
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    client._reconnection_task = asyncio.create_task(reconnect())
    await asyncio.sleep(0)
    await client.close()
    assert client._reconnection_task.cancelled()


async def test_a_publisher_that_waits_for_room_can_be_cancelled(client: NatsClient) -> None:
    """As a relay does while NATS is frozen: it would go on publishing, and the process would not end."""
    unread: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()
    client._flush_queue, flushing = unread, client._flush_queue  # nothing is sent any more
    client._max_pending_size = 1
    publishing = asyncio.create_task(client.publish(client.new_inbox(), b"more than there is room for"))
    await eventually(lambda: unread.qsize() == 1)
    publishing.cancel()
    await asyncio.wait([publishing])
    client._flush_queue = flushing
    assert publishing.cancelled()


async def test_other_errors_still_reach_the_client(client: Client) -> None:
    with pytest.raises(nats.errors.BadSubjectError):
        await client.publish("with space", b"")
    assert client.is_connected
