"""`souk dlq` against the whole shop: poison in the middle of orders, and what a person can do about it."""

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
from contracts.order import OrderPaid, OrderPlaced
from contracts.payment import PaymentCaptured
from infra.foundation.ids import new_id
from infra.messaging.dead_letters import DeadLetter, DeadLetterQueue
from infra.ops.devstack.stack import Stack
from tests.infra.ops.cli.test_import_products import souk
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, RegisteredCustomer
from tests.support.rpc import RpcCaller

Products = Callable[..., Awaitable[Product]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]
PRICE = Money(amount=1999, currency="USD")


async def dlq(stack: Stack, *words: str) -> tuple[int, str]:
    return await souk("dlq", *words, "--data", str(stack.options.data))


async def about(client: Client, aggregate: UUID) -> list[DeadLetter]:
    return [one async for one in DeadLetterQueue(client.jetstream()).iterate() if one.aggregate_id == str(aggregate)]


async def say(client: Client, subject: str, body: bytes, **header: str) -> None:
    said = {name.replace("_", "-"): value for name, value in header.items()}
    await client.jetstream().publish(subject, body, headers=said or None)


async def lay_down(client: Client, service: str, event: OrderPaid | PaymentCaptured) -> int:
    """A letter as the service would have kept it before a fault in it was mended; its number."""
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


def paid(order_id: UUID) -> OrderPaid:
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


async def test_poison_in_the_middle_holds_up_no_order(
    stack: Stack, http: HttpClient, customer: RegisteredCustomer, new_product: Products, operator: RpcCaller
) -> None:
    """Of every sort, to all who hear of orders; orders before and after are paid within seconds; then it is dropped."""
    product, poisoned = await new_product(stock=50), new_id()
    subject, client = f"event.order.{poisoned}.placed", operator.client
    body = {"items": [{"sku": product.variants[0].sku, "quantity": 1}], "shipping_address": ADDRESS}

    async def order() -> str:
        placed = await customer.http.post("/orders", {**body, "payment_method": "sim_ok"})
        assert placed.status == 201, placed.body
        return str(placed.json["id"])

    before = [await order() for _ in range(3)]
    await say(client, subject, b"{}", ce_type="souk.un.known", ce_id=str(new_id()))
    await say(client, subject, b"\xff{", ce_type=OrderPlaced.ce_type(), ce_id=str(new_id()))
    await say(client, subject, b"{}", ce_type=OrderPlaced.ce_type())
    await say(client, subject, b"", Long="x" * 60_000)
    after = await asyncio.gather(*(order() for _ in range(10)))
    began = time.monotonic()

    async def all_paid() -> bool:
        answers = [await customer.http.get(f"/orders/{one}") for one in (*before, *after)]
        return all(answer.json["status"] == "paid" for answer in answers)

    await eventually(all_paid)
    assert time.monotonic() - began < 5
    assert (await http.get("//readyz")).status == 200
    letters = await eventually(lambda: expected(client, poisoned, 4 * 3))
    assert {letter.service for letter in letters} == {"cart", "payment", "notification"}
    code, said = await dlq(stack, "drop", *(str(letter.seq) for letter in letters), "--yes")
    assert (code, said.strip()) == (0, "12 removed.")
    assert await about(client, poisoned) == []


async def expected(client: Client, aggregate: UUID, count: int) -> list[DeadLetter]:
    letters = await about(client, aggregate)
    assert len(letters) == count
    return letters


async def test_letters_are_listed_and_shown(stack: Stack, operator: RpcCaller) -> None:
    event = paid(new_id())
    seq = await lay_down(operator.client, "notification", event)
    code, said = await dlq(stack, "list", "--service", "notification", "--json")
    assert code == 0
    (listed,) = [one for one in json.loads(said) if one["seq"] == seq]
    assert listed["reason"] == "ZeroDivisionError: division by zero"
    assert (listed["aggregate_id"], listed["deliveries"]) == (str(event.order_id), "8")
    assert json.loads(listed["body"])["order_id"] == str(event.order_id)
    code, said = await dlq(stack, "list")
    assert code == 0
    assert "ZeroDivisionError" in said
    assert "order.paid" in said
    code, said = await dlq(stack, "show", str(seq))
    assert code == 0
    for part in ("ZeroDivisionError", "ab" * 16, f'"order_id": "{event.order_id}"', "Souk-Dead-Deliveries: 8"):
        assert part in said
    await dlq(stack, "drop", str(seq), "--yes")


async def test_a_replay_has_the_effect_once(stack: Stack, operator: RpcCaller, database: Databases) -> None:
    """Also when the same letter is there again, as after a replay that died before it was removed."""
    event, letters = paid(new_id()), DeadLetterQueue(operator.client.jetstream())
    seq = await lay_down(operator.client, "notification", event)
    letter = await letters.get(seq)
    assert letter is not None
    code, said = await dlq(stack, "replay", str(seq))
    assert code == 0, said
    assert "applied" in said
    assert "1 heard and removed." in said
    assert await letters.get(seq) is None
    again = await operator.client.jetstream().publish(letter.subject, letter.body, headers=letter.headers)
    code, said = await dlq(stack, "replay", str(again.seq))
    assert code == 0, said
    assert "known" in said
    assert await mails_about(database, event.order_id) == 1


async def test_a_letter_that_still_fails_stays(stack: Stack, operator: RpcCaller, database: Databases) -> None:
    """Among others that do not: they are heard, and the exit code tells."""
    good = paid(new_id())
    bad = PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=PRICE)
    seqs = [await lay_down(operator.client, "order", bad), await lay_down(operator.client, "notification", good)]
    code, said = await dlq(stack, "replay", *map(str, seqs))
    assert code == 1
    assert "stays" in said
    assert f"there is no order {bad.order_id}" in said.replace("\n", " ")
    assert "1 heard and removed, 1 stay." in said
    assert await mails_about(database, good.order_id) == 1
    assert [letter.seq for letter in await about(operator.client, bad.payment_id)] == seqs[:1]
    code, said = await dlq(stack, "replay", "--all", "--service", "order")
    assert code == 1, said
    code, said = await dlq(stack, "drop", str(seqs[0]), "--yes")
    assert code == 0, said


async def test_what_cannot_be_done_is_told_plainly(stack: Stack) -> None:
    tries: dict[tuple[str, ...], str] = {
        ("show", "999999"): "There is no letter 999999",
        ("drop", "999999", "--yes"): "There is no letter 999999",
        ("replay", "999999"): "There is no letter 999999",
        ("replay",): "Say which",
        ("list", "--service", "nobody"): "No service that hears events is called 'nobody'",
    }
    answers: list[Any] = await asyncio.gather(*(dlq(stack, *words) for words in tries))
    for (code, said), told in zip(answers, tries.values(), strict=True):
        assert code == 1
        assert told in said
        assert "Traceback" not in said


async def test_nothing_is_dropped_unasked(stack: Stack, operator: RpcCaller) -> None:
    event = paid(new_id())
    seq = await lay_down(operator.client, "notification", event)
    code, _ = await dlq(stack, "drop", str(seq))
    assert code == 1
    assert await about(operator.client, event.order_id)
    await dlq(stack, "drop", str(seq), "--yes")
