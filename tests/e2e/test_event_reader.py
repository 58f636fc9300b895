"""A program that is not part of Souk listens: plain nats-py, as a user that `souk provision --reader` has made."""

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
    command = [sys.executable, "-m", "infra.ops.cli.app", "provision", "--data", str(stack.options.data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_a_reader_sees_an_order_go_by(
    stack: Stack, customer: RegisteredCustomer, new_product: Callable[..., Awaitable[Product]]
) -> None:
    made = provision(stack, "--reader", "watcher")
    assert made.returncode == 0, made.stderr
    found = re.search(r"nats://watcher:\S+", made.stdout)
    assert found
    refused: list[str] = []

    async def complain(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(found[0], error_cb=complain)
    live = await client.subscribe("event.order.*.*")
    product = await new_product()
    items = [{"sku": product.variants[0].sku, "quantity": 1}]
    body = {"items": items, "shipping_address": ADDRESS, "payment_method": "sim_ok"}
    order = (await customer.http.post("/orders", body)).json
    heard: dict[str, dict[str, str]] = {}
    while "paid" not in heard:
        message = await live.next_msg(timeout=10)
        _, _, order_id, name = message.subject.split(".")
        if order_id == order["id"]:
            heard[name] = message.headers
    assert list(heard) == ["placed", "paid"]
    for name, header in heard.items():
        assert header["ce-type"] == f"souk.order.{name}"
        assert header["ce-specversion"] == "1.0"
        assert header["ce-source"] == "/souk/order"
        assert header["ce-id"]
        assert header["ce-time"].endswith("Z")

    kept = await client.jetstream().subscribe(f"event.order.{order['id']}.*", ordered_consumer=True)
    assert (await kept.next_msg(timeout=5)).subject.endswith(".placed")

    await client.publish(f"event.order.{order['id']}.paid", b"{}")
    await eventually(lambda: any("permissions violation" in line.lower() for line in refused))
    with pytest.raises(nats.errors.TimeoutError):
        await client.request("rpc.order.payables", b"{}", timeout=0.2)
    await client.close()


def test_a_second_run_says_that_all_is_well(stack: Stack) -> None:
    assert "as it should be" in provision(stack).stdout


@pytest.mark.parametrize("name", ["order", "Big", "a b", "x" * 40, "operator"])
def test_a_reader_has_a_name_of_its_own(stack: Stack, name: str) -> None:
    refused = provision(stack, "--reader", name)
    assert refused.returncode == 1
    assert "cannot be called" in refused.stderr
