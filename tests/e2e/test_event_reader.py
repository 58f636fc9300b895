"""A program outside Souk reads events with plain nats-py, as a user made by `souk provision --reader`."""

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable

import nats
import nats.errors
import pytest

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, RegisteredCustomer


def provision(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.ops.cli.app", "provision", "--data", str(stack.settings.data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_reader_receives_the_events_of_an_order(
    stack: Stack, customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    provisioned = provision(stack, "--reader", "watcher")
    assert provisioned.returncode == 0, provisioned.stderr
    url = re.search(r"nats://watcher:\S+", provisioned.stdout)
    assert url
    errors: list[str] = []

    async def collect_error(error: Exception) -> None:
        errors.append(str(error))

    client = await nats.connect(url[0], error_cb=collect_error)
    live = await client.subscribe("event.order.*.*")
    product = await new_product()
    items = [{"sku": product.variants[0].sku, "quantity": 1}]
    body = {"items": items, "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    order = (await customer.http.post("/orders", body)).json
    event_headers: dict[str, dict[str, str]] = {}
    while "paid" not in event_headers:
        message = await live.next_msg(timeout=10)
        _, _, order_id, name = message.subject.split(".")
        if order_id == order["id"]:
            event_headers[name] = message.headers
    assert list(event_headers) == ["placed", "paid"]
    for name, header in event_headers.items():
        assert header["ce-type"] == f"souk.order.{name}"
        assert header["ce-specversion"] == "1.0"
        assert header["ce-source"] == "/souk/order"
        assert header["ce-id"]
        assert header["ce-time"].endswith("Z")

    stored = await client.jetstream().subscribe(f"event.order.{order['id']}.*", ordered_consumer=True)
    assert (await stored.next_msg(timeout=5)).subject.endswith(".placed")

    await client.publish(f"event.order.{order['id']}.paid", b"{}")
    await eventually(lambda: any("permissions violation" in error.lower() for error in errors))
    with pytest.raises(nats.errors.TimeoutError):
        await client.request("rpc.order.payables", b"{}", timeout=0.2)
    await client.close()


def test_a_second_provisioning_changes_nothing(stack: Stack) -> None:
    assert "NATS is up to date." in provision(stack).stdout


@pytest.mark.parametrize("name", ["order", "Big", "a b", "x" * 40, "operator"])
def test_refuses_a_taken_or_invalid_reader_name(stack: Stack, name: str) -> None:
    refused = provision(stack, "--reader", name)
    assert refused.returncode == 1
    assert "cannot be the name of a reader" in refused.stderr
