"""Generates a shop with many past orders directly in its stores: `python -m tests.chaos.verify_benchmark`.

The stores are consistent, as if every order had been placed, paid, shipped and consumed. Then `souk verify` runs over
them as a process, and its time and memory are printed. The servers run and the services do not.
"""

import argparse
import asyncio
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import nats
import orjson
from motor.motor_asyncio import AsyncIOMotorClient
from nats.aio.client import Client
from nats.js.api import DeliverPolicy

from contracts import headers
from contracts.event import Event
from contracts.order import OrderCancelled, OrderPaid, OrderPlaced, OrderRefunded, OrderShipped
from contracts.payment import PaymentCaptured, PaymentRefunded
from contracts.registry import SUBSCRIPTIONS
from infra.foundation.ids import new_id
from infra.messaging.topology import consumer_config, consumers_for, stream_name
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from services.cart.domain.carts import cart_reference
from tests.support.eventually import eventually

SKUS = 200
BATCH_SIZE = 5000
PUBLISH_WINDOW = 2000
"""Every so many events, one is published with an acknowledgement."""
OUTCOMES = ("paid",) * 9 + ("shipped",) * 6 + ("cancelled",) * 3 + ("refunded", "pending")
EVENTS_BY_OUTCOME = {
    "pending": (OrderPlaced,),
    "paid": (OrderPlaced, OrderPaid),
    "shipped": (OrderPlaced, OrderPaid, OrderShipped),
    "cancelled": (OrderPlaced, OrderCancelled),
    "refunded": (OrderPlaced, OrderPaid, OrderRefunded),
}
FREE_PORTS = ("http", "nats", "nats_monitor", "postgres", "mongo", "smtp", "edge", "ops")
NO_TRACE = "00-00000000000000000000000000000001-0000000000000001-00"

Records = list[tuple[Any, ...]]  # a row of any table


@dataclass
class GeneratedOrder:
    """One order, as all stores have it."""

    number: int
    outcome: str
    at: datetime
    id: UUID = field(default_factory=new_id)
    user_id: UUID = field(default_factory=new_id)
    hold_id: UUID = field(default_factory=uuid4)
    payment_id: UUID = field(default_factory=new_id)
    refund_id: UUID = field(default_factory=new_id)
    events: list[tuple[UUID, type[Event]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        output: list[type[Event]] = list(EVENTS_BY_OUTCOME[self.outcome])
        if self.is_paid:
            output.insert(1, PaymentCaptured)
        if self.outcome == "refunded":
            output.insert(3, PaymentRefunded)
        self.events = [(new_id(), event) for event in output]

    @property
    def is_paid(self) -> bool:
        return self.outcome in {"paid", "shipped", "refunded"}

    @property
    def sku(self) -> str:
        return f"SKU-{self.number % SKUS:03d}"

    @property
    def quantity(self) -> int:
        return 1 + self.number % 2

    @property
    def total(self) -> int:
        return 1999 * self.quantity

    @property
    def cart_id(self) -> str | None:
        """Every second order comes from a cart."""
        return f"cart-{self.id.hex}" if self.number % 2 else None

    def inbox_rows(self, service: str) -> Records:
        return [(event_id,) for event_id, event in self.events if event in SUBSCRIPTIONS[service]]


def catalog_rows(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, tuple[str, ...], Records]]:
    holds: Records = []
    for one in some:
        status = "sold" if one.is_paid else "cancelled" if one.outcome == "cancelled" else "held"
        taken = {"sold": "sold", "cancelled": "nothing", "held": "reserved"}[status]
        order_id = None if status == "held" else one.id
        ends = one.at + timedelta(days=1)
        holds.append((one.hold_id, order_id, status, taken, b"", [one.sku], [one.quantity], "", ends, one.at))
    columns = ("id", "order_id", "status", "taken", "fingerprint", "skus", "quantities", "answer", "expires_at")
    yield "hold", (*columns, "created_at"), holds
    sold: Records = [(one.sku, "sold", -one.quantity, one.hold_id) for one in some if one.is_paid]
    yield "stock_movement", ("sku", "kind", "quantity", "hold_id"), sold
    yield "inbox", ("event_id",), [row for one in some for row in one.inbox_rows("catalog")]


def order_rows(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, tuple[str, ...], Records]]:
    columns = (
        *("id", "status", "user_id", "hold_id", "cart_id", "cart_version", "currency", "subtotal", "discount"),
        *("shipping", "tax", "total", "items", "shipping_method", "shipping_address", "payment_id", "history"),
        *("pay_by", "created_at", "updated_at"),
    )
    yield "orders", columns, [_order(one) for one in some]
    yield "inbox", ("event_id",), [row for one in some for row in one.inbox_rows("order")]


def _order(one: GeneratedOrder) -> tuple[Any, ...]:
    cart = cart_reference(one.cart_id) if one.cart_id else None
    item = {"sku": one.sku, "quantity": one.quantity, "product_id": str(one.id), "name": "Lamp", "options": {}}
    steps = ["pending", *(event.name for event in EVENTS_BY_OUTCOME[one.outcome][1:])]
    history = [{"status": step, "at": one.at.isoformat(), "note": None} for step in steps]
    return (
        *(one.id, steps[-1], one.user_id, one.hold_id, cart, 2 if cart else None, "USD", one.total, 0, 0, 0, one.total),
        *(orjson.dumps([item]).decode(), "standard", "{}", one.payment_id if one.is_paid else None),
        *(orjson.dumps(history).decode(), one.at + timedelta(hours=12), one.at, one.at),
    )


def payment_rows(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, tuple[str, ...], Records]]:
    paid = [one for one in some if one.is_paid]
    back = [one for one in some if one.outcome == "refunded"]
    bills: Records = [(one.id, one.payment_id if one.is_paid else None, one.outcome == "cancelled") for one in some]
    yield "bill", ("order_id", "payment_id", "cancelled"), bills
    columns = ("id", "order_id", "user_id", "amount", "currency", "refunded", "status", "provider", "traceparent")
    rows: Records = []
    for one in paid:
        status, refunded = ("refunded", one.total) if one.outcome == "refunded" else ("captured", 0)
        rows.append(
            (one.payment_id, one.id, one.user_id, one.total, "USD", refunded, status, "simulator", NO_TRACE, "", one.at)
        )
    yield "payment", (*columns, "request_id", "created_at"), rows
    stack_settings = ("id", "payment_id", "amount", "status", "traceparent", "request_id", "settled_at")
    yield (
        "refund",
        stack_settings,
        [(one.refund_id, one.payment_id, one.total, "done", NO_TRACE, "", one.at) for one in back],
    )
    legs = [(one.payment_id, one, 1) for one in paid] + [(one.refund_id, one, -1) for one in back]
    booked: Records = [
        (transaction, account, one.payment_id, "USD", sign * side * one.total)
        for transaction, one, sign in legs
        for account, side in (("gateway_receivable", 1), ("sales", -1))
    ]
    yield "ledger_entry", ("transaction_id", "account", "payment_id", "currency", "amount"), booked
    yield "inbox", ("event_id",), [row for one in some for row in one.inbox_rows("payment")]


def gateway_rows(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, tuple[str, ...], Records]]:
    charges: Records = [(one.payment_id, "sim_ok", one.total, "USD", "captured") for one in some if one.is_paid]
    yield "charge", ("key", "token", "amount", "currency", "state"), charges
    stack_settings: Records = [
        (one.refund_id, one.payment_id, one.total, "refunded") for one in some if one.outcome == "refunded"
    ]
    yield "refund", ("key", "charge_key", "amount", "state"), stack_settings


def notification_rows(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, tuple[str, ...], Records]]:
    columns = ("id", "kind", "channel", "order_id", "user_id", "subject", "facts", "traceparent", "request_id")
    mails: Records = [
        (new_id(), f"order_{event.name}", "email", one.id, one.user_id, "Lamp", "{}", NO_TRACE, "", "sent", one.at)
        for one in some
        for _, event in one.events
        if event in SUBSCRIPTIONS["notification"]
    ]
    yield "delivery", (*columns, "status", "sent_at"), mails
    yield "inbox", ("event_id",), [row for one in some for row in one.inbox_rows("notification")]


ROWS_BY_SERVICE = {
    "catalog": catalog_rows,
    "order": order_rows,
    "payment": payment_rows,
    "notification": notification_rows,
}


async def generate(stack: Stack, orders: int) -> None:
    """Writes the orders in batches, then stock and consumers."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    client = await nats.connect(
        stack.nats_url, user=OPERATOR, password=stack.nats_password(OPERATOR), pending_size=64 << 20
    )
    databases = {service: await asyncpg.connect(stack.dsn(service)) for service in ROWS_BY_SERVICE}
    carts: Any = AsyncIOMotorClient(
        stack.cart_url(), username="souk_cart", password=stack.cart_mongo_password(), authSource="souk_cart",
        uuidRepresentation="standard",
    )  # fmt: skip
    sold, held, event_counts = Counter[str](), Counter[str](), Counter[str]()
    for start in range(0, orders, BATCH_SIZE):
        some = [
            GeneratedOrder(number, OUTCOMES[number % len(OUTCOMES)], begin + timedelta(milliseconds=number % 3_000_000))
            for number in range(start, min(start + BATCH_SIZE, orders))
        ]
        for one in some:
            sold[one.sku] += one.quantity * one.is_paid
            held[one.sku] += one.quantity * (one.outcome == "pending")
            event_counts.update(stream_name(event.service) for _, event in one.events)
        await asyncio.gather(
            *(_copy(databases[service], story(some)) for service, story in ROWS_BY_SERVICE.items()),
            _publish(client, some),
        )
        await _copy(databases["payment"], gateway_rows(some), schema="simulator")
        await carts["souk_cart"].carts.insert_many([_cart(one) for one in some if one.cart_id])
    await _stock(databases["catalog"], sold, held)
    await _skip_to_stream_ends(client, event_counts)
    for connection in databases.values():
        await connection.execute("ANALYZE")
        await connection.close()
    carts.close()
    await client.close()


async def _copy(
    connection: asyncpg.Connection, tables: Iterator[tuple[str, tuple[str, ...], Records]], schema: str = "public"
) -> None:
    for table, columns, rows in tables:
        await connection.copy_records_to_table(table, schema_name=schema, columns=columns, records=rows)


def _cart(one: GeneratedOrder) -> dict[str, Any]:
    """A cart whose order has taken the lines if it was paid."""
    assert one.cart_id
    ends = datetime.now(UTC) + timedelta(days=30)
    known = {"_id": one.cart_id, "reference": cart_reference(one.cart_id), "user_id": one.user_id}
    ordered = {"version": 3, "ordered": [one.id]} if one.is_paid else {"version": 2}
    return {**known, "lines": [], "expires_at": ends, **ordered}


async def _stock(connection: asyncpg.Connection, sold: Counter[str], held: Counter[str]) -> None:
    """The stock that is left of a million units each."""
    skus = sorted(sold | held)
    await _copy(
        connection,
        iter(
            [
                ("stock", ("sku", "on_hand", "reserved"), [(sku, 10**6 - sold[sku], held[sku]) for sku in skus]),
                ("stock_movement", ("sku", "kind", "quantity"), [(sku, "adjusted", 10**6) for sku in skus]),
            ]
        ),
    )


async def _publish(client: Client, some: Sequence[GeneratedOrder]) -> None:
    """Publishes in the order of each aggregate. Few are acknowledged, each of which confirms all before it."""
    js = client.jetstream(timeout=60)
    for count, (subject, body, header) in enumerate(_messages(some)):
        if count % PUBLISH_WINDOW == PUBLISH_WINDOW - 1:
            await js.publish(subject, body, headers=header)
        else:
            await client.publish(subject, body, headers=header)


def _messages(some: Sequence[GeneratedOrder]) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    for one in some:
        for event_id, event in one.events:
            aggregate = one.payment_id if event.key == "payment_id" else one.id
            amount = {"amount": one.total, "currency": "USD"}
            body = {"order_id": str(one.id), "payment_id": str(one.payment_id), "total": amount, "amount": amount}
            yield (
                event.subject_pattern().replace("*", str(aggregate)),
                orjson.dumps(body),
                {
                    headers.MESSAGE_ID: str(event_id),
                    headers.EVENT_ID: str(event_id),
                    headers.EVENT_TYPE: event.ce_type(),
                    headers.EVENT_TIME: one.at.isoformat(),
                    headers.TRACEPARENT: NO_TRACE,
                },
            )


async def _skip_to_stream_ends(client: Client, event_counts: Counter[str]) -> None:
    """Moves the consumers to the ends of the streams, once everything is stored."""
    js = client.jetstream(timeout=60)

    async def all_stored() -> bool:
        return all([(await js.stream_info(name)).state.messages >= count for name, count in event_counts.items()])

    stored: bool = await eventually(all_stored, timeout_seconds=300)
    assert stored
    for consumer in (one for service in SUBSCRIPTIONS for one in consumers_for(service)):
        last = (await js.stream_info(consumer.stream)).state.last_seq
        await js.delete_consumer(consumer.stream, consumer.service)
        config = consumer_config(consumer).evolve(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=last + 1
        )
        await js.add_consumer(consumer.stream, config)


async def run(orders: int, data: Path) -> int:
    ports: dict[str, Any] = {f"{name}_port": 0 for name in FREE_PORTS}
    parts = frozenset({"nats", "postgres", "mongo"})
    async with Stack(StackSettings(_env_file=None, data=data, parts=parts, seed=False, **ports)).running() as stack:
        started_at = time.monotonic()
        await generate(stack, orders)
        print(f"{orders} orders generated in {time.monotonic() - started_at:.1f} s", flush=True)  # noqa: T201 - its output
        started_at = time.monotonic()
        command = (sys.executable, "-m", "infra.ops.cli.app", "verify", "--data", str(data))
        child = await asyncio.create_subprocess_exec(*command)
        code = await child.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Resource usage of all children; the servers still run, so it is that of the verification alone.
        cpu = used.ru_utime + used.ru_stime
        print(f"verified in {time.monotonic() - started_at:.1f} s, {cpu:.1f} s of CPU, ", end="")  # noqa: T201
        print(f"peak {used.ru_maxrss / 1024:.0f} MiB, exit code {code}")  # noqa: T201
        return code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="a new data folder; one that is removed afterwards without it")
    stack_settings = parser.parse_args()
    folder = stack_settings.data or Path(tempfile.mkdtemp(prefix="souk-past-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    try:
        sys.exit(asyncio.run(run(stack_settings.orders, folder / "shop")))
    finally:
        if stack_settings.data is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
