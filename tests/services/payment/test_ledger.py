"""The ledger: balanced, append-only, and in agreement with payments and with the gateway's own list."""

import random
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from contracts.order import OrderStatus
from contracts.payment import NotRefundable, PaymentStatus, RefundExceedsPayment
from infra.foundation.ids import new_id
from services.payment.gateways import MovementKind
from services.payment.gateways.simulator import Simulator
from tests.services.payment.conftest import PaymentHarness, PlacedOrder
from tests.support.eventually import eventually

METHODS = ["sim_ok", "sim_ok", "sim_ok", "sim_declined", "sim_timeout", "sim_action", "sim_error_once"]
CURRENCIES = ["USD", "EUR", "JPY"]


async def test_after_a_random_mix_everything_agrees(
    harness: PaymentHarness, run_concurrently: Any, simulator: Simulator
) -> None:
    rng = random.Random(20)
    orders = [
        harness.order(rng.choice(METHODS), amount=rng.randint(1, 10_000), currency=rng.choice(CURRENCIES))
        for _ in range(60)
    ]
    assert await run_concurrently(*(_run_random_order(harness, placed, rng) for placed in orders)) == [None] * len(
        orders
    )
    await harness.wait_until_consumed()
    await harness.wait_until_idle()
    assert await harness.db.fetch("SELECT currency FROM ledger_balance WHERE balance <> 0") == []
    assert await harness.db.fetch("SELECT payment_id FROM ledger_disagreement") == []
    assert await harness.db.fetchval("SELECT count(*) FROM payment WHERE refunding <> 0 OR status = 'processing'") == 0
    await _agrees_with_the_gateway(harness, simulator, {placed.id for placed in orders})


async def _run_random_order(harness: PaymentHarness, placed: PlacedOrder, rng: random.Random) -> None:
    """Places an order, and cancels and refunds it at random."""
    await placed.place()
    if rng.random() < 0.3:
        await placed.cancel()
    if rng.random() < 0.5:
        await eventually(lambda: _is_settled(harness, placed))
        for payment in await harness.payments(placed):
            with suppress(RefundExceedsPayment, NotRefundable):
                await harness.refund(payment, rng.randint(1, payment.amount.amount))
    if rng.random() < 0.3:
        await placed.cancel(was=OrderStatus.PAID)


async def _is_settled(harness: PaymentHarness, placed: PlacedOrder) -> bool:
    found = await harness.payments(placed)
    return bool(found) and all(payment.status is not PaymentStatus.PROCESSING for payment in found)


async def _agrees_with_the_gateway(harness: PaymentHarness, simulator: Simulator, order_ids: set[Any]) -> None:
    net: dict[Any, int] = {}
    since = await harness.db.fetchval("SELECT min(created_at) FROM payment WHERE order_id = ANY($1)", list(order_ids))
    async for movement in simulator.list_movements_since(since):
        sign = 1 if movement.kind is MovementKind.CHARGE else -1
        net[movement.charge_key] = net.get(movement.charge_key, 0) + sign * movement.money.amount
    booked = await harness.db.fetch(
        """
        SELECT payment_id, sum(entry.amount)::bigint AS amount
        FROM ledger_entry AS entry JOIN payment ON payment.id = payment_id
        WHERE account = 'gateway_receivable' AND order_id = ANY($1) GROUP BY payment_id
        """,
        list(order_ids),
    )
    assert booked
    for row in booked:
        assert net[row["payment_id"]] == row["amount"]


async def test_an_unbalanced_transaction_is_refused(harness: PaymentHarness) -> None:
    _, payment = await harness.captured()
    entry = "INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES "
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await harness.db.execute(entry + "($1, 'sales', $2, 'USD', 5)", new_id(), payment.id)
    mixed_currencies = entry + "($1, 'sales', $2, 'USD', 5), ($1, 'gateway_receivable', $2, 'EUR', -5)"
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await harness.db.execute(mixed_currencies, new_id(), payment.id)
    unknown = entry + "($1, 'sales', $2, 'USD', 5), ($1, 'pocket', $2, 'USD', -5)"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="no such ledger account"):
        await harness.db.execute(unknown, new_id(), payment.id)
    twice = entry + "($1, 'sales', $1, 'USD', -1), ($1, 'gateway_receivable', $1, 'USD', 1)"
    with pytest.raises(asyncpg.UniqueViolationError):
        await harness.db.execute(twice, payment.id)


@pytest.mark.parametrize(
    "change", ["UPDATE ledger_entry SET amount = 0", "DELETE FROM ledger_entry", "TRUNCATE ledger_entry"]
)
async def test_a_booked_entry_cannot_be_changed(harness: PaymentHarness, change: str) -> None:
    await harness.captured()
    with pytest.raises(asyncpg.CheckViolationError, match="append-only"):
        await harness.db.execute(change)


async def test_the_views_find_disagreements(harness: PaymentHarness) -> None:
    _, payment = await harness.captured(amount=700)
    async with harness.db.acquire() as connection:
        change = connection.transaction()
        await change.start()
        await connection.execute("UPDATE payment SET refunded = 100 WHERE id = $1", payment.id)
        (row,) = await connection.fetch("SELECT payment_id, expected, booked FROM ledger_disagreement")
        await change.rollback()
    assert tuple(row) == (payment.id, 600, 700)
