"""`souk dlq` against the whole shop, with invalid events between those of real orders."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
from nats.aio.client import Client

from contracts import headers
from contracts.catalog import Product
from contracts.money import Money
from contracts.order import OrderPaid
from contracts.payment import PaymentCaptured
from infra.foundation.ids import new_id
from infra.messaging.dead_letters import DeadLetter, DeadLetterQueue
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer
from tests.support.rpc import RpcCaller
from tests.support.souk_command import run_souk

Products = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
PRICE = Money(amount=1999, currency="USD")


async def dlq(stack: Stack, *arguments: str) -> tuple[int, str]:
    return await run_souk("dlq", *arguments, "--data", str(stack.settings.data))


async def letters_about(client: Client, aggregate: UUID) -> list[DeadLetter]:
    return [one async for one in DeadLetterQueue(client.jetstream()).iterate() if one.aggregate_id == str(aggregate)]


async def publish(client: Client, subject: str, body: bytes, **header: str) -> None:
    sent = {name.replace("_", "-"): value for name, value in header.items()}
    await client.jetstream().publish(subject, body, headers=sent or None)


async def publish_dead_letter(client: Client, service: str, event: OrderPaid | PaymentCaptured) -> int:
    """Publishes a dead letter as a service with a bug would have, and returns its number."""
    header = {
        headers.EVENT_ID: str(new_id()),
        headers.EVENT_TYPE: event.ce_type(),
        headers.TRACEPARENT: "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00",
        headers.DEAD_REASON: "ZeroDivisionError: division by zero",
        headers.DEAD_SERVICE: service,
        headers.DEAD_SUBJECT: event.subject,
        headers.DEAD_DELIVERIES: "8",
    }
    body = event.model_dump_json().encode()
    return (await client.jetstream().publish(f"dead.{service}.ORDER", body, headers=header)).seq


def paid_event(order_id: UUID) -> OrderPaid:
    return OrderPaid(
        order_id=order_id,
        number="S-1",
        user_id=new_id(),
        total=PRICE,
        hold_id=new_id(),
        payment_id=new_id(),
        items=[],
    )


async def mails_about(database: Databases, order_id: UUID) -> int:
    connection = await database("notification")
    count: int = await connection.fetchval("SELECT count(*) FROM delivery WHERE order_id = $1", order_id)
    return count


async def test_invalid_events_do_not_delay_orders(
    stack: Stack, http: HttpClient, customer: RegisteredCustomer, new_product: Products, operator: RpcCaller
) -> None:
    """Invalid events of four kinds go to every subscriber. Orders before and after are paid within seconds."""
    product, invalid_id = await new_product(stock=50), new_id()
    subject, client = f"event.order.{invalid_id}.paid", operator.client
    body = {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "shipping_address": ADDRESS}

    async def order() -> str:
        placed = await customer.http.post("/orders", {**body, "payment_method": "sim_ok"})
        assert placed.status == 201, placed.body
        return str(placed.json["id"])

    before = [await order() for _ in range(3)]
    await publish(client, subject, b"{}", ce_type="souk.un.known", ce_id=str(new_id()))
    await publish(client, subject, b"\xff{", ce_type=OrderPaid.ce_type(), ce_id=str(new_id()))
    await publish(client, subject, b"{}", ce_type=OrderPaid.ce_type())
    await publish(client, subject, b"", Long="x" * 60_000)
    after = await asyncio.gather(*(order() for _ in range(10)))
    began = time.monotonic()

    async def all_paid() -> bool:
        responses = [await customer.http.get(f"/orders/{one}") for one in (*before, *after)]
        return all(response.json["status"] == "paid" for response in responses)

    await eventually(all_paid)
    assert time.monotonic() - began < 5
    assert (await http.get("//readyz")).status == 200
    dead_letters = await eventually(lambda: expected(client, invalid_id, 4 * 3))
    assert {dead_letter.service for dead_letter in dead_letters} == {"cart", "catalog", "notification"}
    code, output = await dlq(stack, "drop", *(str(dead_letter.seq) for dead_letter in dead_letters), "--yes")
    assert (code, output.strip()) == (0, "12 removed.")
    assert await letters_about(client, invalid_id) == []


async def expected(client: Client, aggregate: UUID, count: int) -> list[DeadLetter]:
    dead_letters = await letters_about(client, aggregate)
    assert len(dead_letters) == count
    return dead_letters


async def test_dead_letters_are_listed_and_shown(stack: Stack, operator: RpcCaller) -> None:
    event = paid_event(new_id())
    seq = await publish_dead_letter(operator.client, "notification", event)
    code, output = await dlq(stack, "list", "--service", "notification", "--json")
    assert code == 0
    (listed,) = [one for one in json.loads(output) if one["seq"] == seq]
    assert listed["reason"] == "ZeroDivisionError: division by zero"
    assert (listed["aggregate_id"], listed["deliveries"]) == (str(event.order_id), "8")
    assert json.loads(listed["body"])["order_id"] == str(event.order_id)
    code, output = await dlq(stack, "list")
    assert code == 0
    assert "ZeroDivisionError" in output
    assert "order.paid" in output
    code, output = await dlq(stack, "show", str(seq))
    assert code == 0
    for part in ("ZeroDivisionError", "ab" * 16, f'"order_id": "{event.order_id}"', "Souk-Dead-Deliveries: 8"):
        assert part in output
    await dlq(stack, "drop", str(seq), "--yes")


async def test_replaying_a_dead_letter_has_its_effect_once(
    stack: Stack, operator: RpcCaller, database: Databases
) -> None:
    """Also when the same letter exists again, as after a replay that died before it removed the dead letter."""
    event, queue = paid_event(new_id()), DeadLetterQueue(operator.client.jetstream())
    seq = await publish_dead_letter(operator.client, "notification", event)
    dead_letter = await queue.get(seq)
    assert dead_letter is not None
    code, output = await dlq(stack, "replay", str(seq))
    assert code == 0, output
    assert "applied" in output
    assert "1 handled and removed." in output
    assert await queue.get(seq) is None
    again = await operator.client.jetstream().publish(
        dead_letter.subject, dead_letter.body, headers=dead_letter.headers
    )
    code, output = await dlq(stack, "replay", str(again.seq))
    assert code == 0, output
    assert "known" in output
    assert await mails_about(database, event.order_id) == 1


async def test_a_dead_letter_that_fails_again_stays(stack: Stack, operator: RpcCaller, database: Databases) -> None:
    """Other letters are handled, and the exit code is 1."""
    good = paid_event(new_id())
    bad = PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=PRICE)
    seqs = [
        await publish_dead_letter(operator.client, "order", bad),
        await publish_dead_letter(operator.client, "notification", good),
    ]
    code, output = await dlq(stack, "replay", *map(str, seqs))
    assert code == 1
    assert "stays" in output
    assert f"There is no order {bad.order_id}" in output.replace("\n", " ")
    assert "1 handled and removed, 1 not handled." in output
    assert await mails_about(database, good.order_id) == 1
    assert [dead_letter.seq for dead_letter in await letters_about(operator.client, bad.payment_id)] == seqs[:1]
    code, output = await dlq(stack, "replay", "--all", "--service", "order")
    assert code == 1, output
    code, output = await dlq(stack, "drop", str(seqs[0]), "--yes")
    assert code == 0, output


async def test_invalid_arguments_get_a_clear_error(stack: Stack) -> None:
    cases: dict[tuple[str, ...], str] = {
        ("show", "999999"): "There is no dead letter 999999",
        ("drop", "999999", "--yes"): "There is no dead letter 999999",
        ("replay", "999999"): "There is no dead letter 999999",
        ("replay",): "Choose the letters",
        ("list", "--service", "stranger"): "No service 'stranger' subscribes to events",
    }
    answers: list[Any] = await asyncio.gather(*(dlq(stack, *arguments) for arguments in cases))
    for (code, output), expected_text in zip(answers, cases.values(), strict=True):
        assert code == 1
        assert expected_text in output
        assert "Traceback" not in output


async def test_drop_asks_for_confirmation(stack: Stack, operator: RpcCaller) -> None:
    event = paid_event(new_id())
    seq = await publish_dead_letter(operator.client, "notification", event)
    code, _ = await dlq(stack, "drop", str(seq))
    assert code == 1
    assert await letters_about(operator.client, event.order_id)
    await dlq(stack, "drop", str(seq), "--yes")
