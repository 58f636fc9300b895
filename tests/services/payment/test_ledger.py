"""The ledger: balanced, append-only, and of one mind with payments and with the gateway's own books."""

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
    till: PaymentHarness, parallel: Any, till_simulator: Simulator
) -> None:
    chance = random.Random(20)
    orders = [
        till.order(chance.choice(METHODS), amount=chance.randint(1, 10_000), currency=chance.choice(CURRENCIES))
        for _ in range(60)
    ]
    assert await parallel(*(_live(till, placed, chance) for placed in orders)) == [None] * len(orders)
    await till.wait_until_consumed()
    await till.wait_until_idle()
    assert await till.db.fetch("SELECT currency FROM ledger_balance WHERE balance <> 0") == []
    assert await till.db.fetch("SELECT payment_id FROM ledger_disagreement") == []
    assert await till.db.fetchval("SELECT count(*) FROM payment WHERE refunding <> 0 OR status = 'processing'") == 0
    await _agrees_with_the_gateway(till, till_simulator, {placed.id for placed in orders})


async def _live(till: PaymentHarness, placed: PlacedOrder, chance: random.Random) -> None:
    """What may happen to an order, in some order."""
    await placed.place()
    if chance.random() < 0.3:
        await placed.cancel()
    if chance.random() < 0.5:
        await eventually(lambda: _settled(till, placed))
        for payment in await till.payments(placed):
            with suppress(RefundExceedsPayment, NotRefundable):
                await till.refund(payment, chance.randint(1, payment.amount.amount))
    if chance.random() < 0.3:
        await placed.cancel(was=OrderStatus.PAID)


async def _settled(till: PaymentHarness, placed: PlacedOrder) -> bool:
    found = await till.payments(placed)
    return bool(found) and all(payment.status is not PaymentStatus.PROCESSING for payment in found)


async def _agrees_with_the_gateway(till: PaymentHarness, simulator: Simulator, order_ids: set[Any]) -> None:
    net: dict[Any, int] = {}
    begun = await till.db.fetchval("SELECT min(created_at) FROM payment WHERE order_id = ANY($1)", list(order_ids))
    async for movement in simulator.list_movements_since(begun):
        sign = 1 if movement.kind is MovementKind.CHARGE else -1
        net[movement.charge_key] = net.get(movement.charge_key, 0) + sign * movement.money.amount
    booked = await till.db.fetch(
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


async def test_a_transaction_that_does_not_balance_is_refused(till: PaymentHarness) -> None:
    _, payment = await till.captured()
    entry = "INSERT INTO ledger_entry (transaction_id, account, payment_id, currency, amount) VALUES "
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await till.db.execute(entry + "($1, 'sales', $2, 'USD', 5)", new_id(), payment.id)
    crooked = entry + "($1, 'sales', $2, 'USD', 5), ($1, 'gateway_receivable', $2, 'EUR', -5)"
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await till.db.execute(crooked, new_id(), payment.id)
    unknown = entry + "($1, 'sales', $2, 'USD', 5), ($1, 'pocket', $2, 'USD', -5)"
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="no such ledger account"):
        await till.db.execute(unknown, new_id(), payment.id)
    twice = entry + "($1, 'sales', $1, 'USD', -1), ($1, 'gateway_receivable', $1, 'USD', 1)"
    with pytest.raises(asyncpg.UniqueViolationError):
        await till.db.execute(twice, payment.id)


@pytest.mark.parametrize(
    "change", ["UPDATE ledger_entry SET amount = 0", "DELETE FROM ledger_entry", "TRUNCATE ledger_entry"]
)
async def test_what_is_booked_stays_as_it_is(till: PaymentHarness, change: str) -> None:
    await till.captured()
    with pytest.raises(asyncpg.CheckViolationError, match="append-only"):
        await till.db.execute(change)


async def test_the_views_find_what_disagrees(till: PaymentHarness) -> None:
    _, payment = await till.captured(amount=700)
    async with till.db.acquire() as connection:
        change = connection.transaction()
        await change.start()
        await connection.execute("UPDATE payment SET refunded = 100 WHERE id = $1", payment.id)
        (row,) = await connection.fetch("SELECT payment_id, expected, booked FROM ledger_disagreement")
        await change.rollback()
    assert tuple(row) == (payment.id, 600, 700)
