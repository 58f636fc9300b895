"""Messages at the size limit of NATS: one that is too large is not sent, and costs no connection."""

from collections.abc import AsyncIterator

import nats.errors
import pytest
from nats.aio.client import Client

from contracts import headers, order
from contracts.failure import PayloadTooLarge
from contracts.size_limits import MAX_MESSAGE_BYTES
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor, connect
from infra.messaging.nats_client import MessageTooLargeError, message_size
from infra.messaging.rpc import RpcClient
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


async def test_other_errors_still_reach_the_client(client: Client) -> None:
    with pytest.raises(nats.errors.BadSubjectError):
        await client.publish("with space", b"")
    assert client.is_connected
