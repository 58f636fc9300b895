"""Checks that every acknowledged write is in the stores, once: invariant 5, and of invariant 3 one effect per key.

The stores are read completely and compared with the journal; carts are read over HTTP, one by one.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.ops.devstack.stack import Stack
from tests.chaos.http_client import LoadHttpClient, LoadResponse
from tests.chaos.write_journal import WriteJournal

CART_CONCURRENCY = 12
RESPONSE_TIMEOUT_SECONDS = 30.0
"""How long a quiet shop may take to respond."""

_ORDERS = """
SELECT id::text, status, total, items::text AS items, history::text AS history,
       shipping_address ->> 'line2' AS marker
FROM orders
"""
_PAYMENTS = "SELECT id::text, order_id::text, status, amount, refunded FROM payment"
_REFUNDS = "SELECT reason AS marker, payment_id::text AS what, amount FROM refund WHERE status <> 'failed'"
_ADJUSTMENTS = """
SELECT reason AS marker, sku AS what, quantity AS amount FROM stock_movement WHERE kind = 'adjusted'
"""
_ONCE_PAID = """SELECT id::text FROM orders WHERE history @> '[{"status": "paid"}]'"""
_ACCOUNTS = "SELECT email, id::text FROM account"
_TAKEN = frozenset({"captured", "partially_refunded", "refunded", "disputed"})


@dataclass
class WriteVerification:
    """What was compared, and the violations with their invariants."""

    checked: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    """No violations, but worth a look."""

    def add_lost(self, what: str) -> None:
        self.violations.append((5, what))

    def require(self, right: bool, law: int, what: str) -> None:  # noqa: FBT001 - what is checked
        if not right:
            self.violations.append((law, what))


async def verify_writes(stack: Stack, journal: WriteJournal, url: str) -> WriteVerification:
    verdict = WriteVerification()
    verdict.violations += [(3, wrong) for wrong in journal.wrong_responses]
    await _orders(stack, journal, verdict)
    await _payments(stack, journal, verdict)
    await _entries(await _rows(stack, "catalog", _ADJUSTMENTS), journal.adjustments, "adjustment", verdict)
    await _entries(await _rows(stack, "payment", _REFUNDS), journal.refunds, "refund", verdict)
    await _accounts(stack, journal, verdict)
    paid = {row["id"] for row in await _rows(stack, "order", _ONCE_PAID)}
    await _carts(journal, url, paid, verdict)
    return verdict


async def _rows(stack: Stack, service: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(stack.dsn(service))
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def _orders(stack: Stack, journal: WriteJournal, verdict: WriteVerification) -> None:
    rows = await _rows(stack, "order", _ORDERS)
    for marker, count in Counter(row["marker"] for row in rows if row["marker"]).items():
        verdict.require(count == 1, 3, f"{count} orders under the key {marker}")
    found = {row["marker"]: row for row in rows}
    for marker, order in journal.orders.items():
        row = found.get(marker)
        if not order.id:
            verdict.remarks["refused orders that exist"] += order.refused and row is not None
            verdict.remarks["orders of unknown outcome"] += not order.refused
            verdict.remarks["of these, placed"] += not order.refused and row is not None
            continue
        verdict.checked["orders"] += 1
        if row is None:
            verdict.add_lost(f"order {order.id} was acknowledged and is missing")
            continue
        lines = {item["sku"]: item["quantity"] for item in orjson.loads(row["items"])}
        right = (row["id"], row["total"], lines) == (order.id, order.total, order.lines)
        verdict.require(right, 5, f"order {order.id} differs from what was acknowledged")
        _moves(order, row, verdict)


def _moves(order: Any, row: asyncpg.Record, verdict: WriteVerification) -> None:
    been = {entry["status"] for entry in orjson.loads(row["history"])}
    for acknowledged, status in (
        (order.cancelled, "cancelled"),
        (order.shipped, "shipped"),
        (order.delivered, "delivered"),
    ):
        if acknowledged:
            verdict.checked[f"orders {status}"] += 1
            verdict.require(status in been, 5, f"order {order.id} was acknowledged as {status} and is {row['status']}")
    if order.cancelled:
        verdict.require(row["status"] == "cancelled", 5, f"order {order.id} was cancelled and is {row['status']}")


async def _payments(stack: Stack, journal: WriteJournal, verdict: WriteVerification) -> None:
    rows = {row["id"]: row for row in await _rows(stack, "payment", _PAYMENTS)}
    for payment_id, order_id in journal.payments.items():
        verdict.checked["payments"] += 1
        row = rows.get(payment_id)
        if row is None or row["order_id"] != order_id:
            verdict.add_lost(f"payment {payment_id} was acknowledged and is missing")
        elif payment_id in journal.captured:
            right = row["status"] in _TAKEN
            verdict.require(right, 5, f"payment {payment_id} was reported as captured and is {row['status']}")
    taken = Counter(row["order_id"] for row in rows.values() if row["status"] in _TAKEN)
    for order_id, count in taken.items():
        verdict.require(count == 1, 3, f"order {order_id} was paid {count} times")


async def _entries(
    rows: list[asyncpg.Record], entries: Mapping[str, Any], name: str, verdict: WriteVerification
) -> None:
    """Adjustments and refunds: acknowledged ones exactly once, others at most once."""
    times = Counter(row["marker"] for row in rows)
    found = {row["marker"]: row for row in rows}
    for marker, entry in entries.items():
        verdict.require(times[marker] <= 1, 3, f"{name} {marker} was made {times[marker]} times")
        if not entry.acknowledged:
            continue
        verdict.checked[f"{name}s"] += 1
        row = found.get(marker)
        right = row is not None and (row["what"], row["amount"]) == (entry.target, entry.amount)
        verdict.require(right, 5, f"{name} {marker} of {entry.target} was acknowledged and is missing")


async def _accounts(stack: Stack, journal: WriteJournal, verdict: WriteVerification) -> None:
    found = {row["email"]: row["id"] for row in await _rows(stack, "user", _ACCOUNTS)}
    for email, user_id in journal.users.items():
        verdict.checked["registrations"] += 1
        verdict.require(found.get(email) == user_id, 5, f"{email} was registered and is missing")


async def _carts(journal: WriteJournal, url: str, paid: set[str], verdict: WriteVerification) -> None:
    """A cart holds its lines until the order of them was `paid`."""
    wire, gate = LoadHttpClient(url), asyncio.Semaphore(CART_CONCURRENCY)

    async def look(cart_id: str) -> None:
        cart = journal.carts[cart_id]
        async with gate:
            response = await _read(wire, f"/carts/{cart_id}", cart.token)
        verdict.checked["carts"] += 1
        found = (
            {item["sku"]: item["quantity"] for item in response.json["items"]}
            if response.is_success
            else response.status
        )
        expected = {} if cart.order and cart.order.id in paid else cart.lines
        verdict.require(found == expected, 5, f"cart {cart_id} holds {found} instead of {expected}")

    await asyncio.gather(*(look(cart_id) for cart_id, cart in journal.carts.items() if cart.lines is not None))
    wire.close()


async def _read(wire: LoadHttpClient, path: str, token: str) -> LoadResponse:
    """Reads from a quiet shop, which may still report an outage for a moment."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((OSError, TimeoutError)),
        stop=stop_after_delay(RESPONSE_TIMEOUT_SECONDS),
        wait=wait_fixed(0.5),
        reraise=True,
    ):
        with attempt:
            response = await wire.send("GET", path, token=token)
            if response.is_ambiguous:
                raise TimeoutError(response.code)
            return response
    raise AssertionError
