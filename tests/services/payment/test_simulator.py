"""The simulated gateway alone, on its real database."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from contracts.money import Money
from infra.foundation.ids import new_id
from services.payment.domain.payments import ChargeOutcome, ChargeState
from services.payment.gateways import GatewayError, GatewayRegistry, MovementKind, RefundRefused
from services.payment.gateways.simulator import TOKENS, Simulator
from tests.support.eventually import eventually

PRICE = Money(amount=1200, currency="USD")
CAPTURED = ChargeOutcome(ChargeState.CAPTURED)


async def test_a_key_is_charged_once(simulator: Simulator) -> None:
    key = new_id()
    assert await simulator.charge(key, PRICE, "sim_ok") == CAPTURED
    assert await simulator.charge(key, PRICE, "sim_declined") == CAPTURED
    assert await simulator.find_charge(key) == CAPTURED
    assert await simulator.find_charge(new_id()) is None


async def test_concurrent_charges_get_their_own_outcomes(simulator: Simulator) -> None:
    keys = [new_id() for _ in range(20)]
    first = [simulator.charge(key, PRICE, ["sim_ok", "sim_declined"][place % 2]) for place, key in enumerate(keys)]
    again = [simulator.charge(key, PRICE, "sim_ok") for key in keys]
    outcomes = await asyncio.gather(*first, *again)
    assert [outcome.state for outcome in outcomes] == ["captured", "declined"] * 20


async def test_a_failed_charge_succeeds_on_the_second_call(simulator: Simulator) -> None:
    key = new_id()
    with pytest.raises(GatewayError):
        await simulator.charge(key, PRICE, "sim_error_once")
    assert await simulator.find_charge(key) is None
    assert await simulator.charge(key, PRICE, "sim_error_once") == CAPTURED


async def test_a_lost_reply_is_a_capture_that_the_next_call_returns(simulator: Simulator) -> None:
    key = new_id()
    with pytest.raises(GatewayError):
        await simulator.charge(key, PRICE, "sim_lost_answer")
    assert await simulator.find_charge(key) == CAPTURED
    assert await simulator.charge(key, PRICE, "sim_lost_answer") == CAPTURED
    movements = [movement async for movement in simulator.list_movements(MovementKind.CHARGE) if movement.key == key]
    assert [movement.money for movement in movements] == [PRICE]


async def test_a_late_outcome_is_found_by_another_call(simulator: Simulator) -> None:
    key, started_at = new_id(), time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await simulator.charge(key, PRICE, "sim_timeout")
    is_early = await simulator.find_charge(key) is None
    assert is_early or time.monotonic() - started_at > simulator.late_seconds
    assert await eventually(lambda: simulator.find_charge(key)) == CAPTURED


async def test_a_voided_charge_is_never_captured(simulator: Simulator) -> None:
    late, unknown, acting, done = (new_id() for _ in range(4))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await simulator.charge(late, PRICE, "sim_timeout")
    await simulator.charge(acting, PRICE, "sim_action")
    await simulator.charge(done, PRICE, "sim_ok")
    for key in (late, unknown, acting):
        assert (await simulator.void(key, PRICE)).state == "voided"
        assert (await simulator.charge(key, PRICE, "sim_ok")).state == "voided"
        assert (await simulator.confirm(key)).state == "voided"
    assert await simulator.void(done, PRICE) == CAPTURED


async def test_refunds_stay_within_the_charge(simulator: Simulator) -> None:
    charge, first, second = new_id(), new_id(), new_id()
    with pytest.raises(RefundRefused):
        await simulator.refund(first, charge, PRICE)
    await simulator.charge(charge, PRICE, "sim_ok")
    for _ in range(2):
        await simulator.refund(first, charge, PRICE)
    with pytest.raises(RefundRefused):
        await simulator.refund(second, charge, Money(amount=1, currency="USD"))
    assert await simulator.has_refunded(first)
    assert not await simulator.has_refunded(second)
    assert not await simulator.has_refunded(new_id())


async def test_movements_are_listed_in_the_order_of_keys(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.payment.gateways.simulator.PAGE_SIZE", 2)
    keys = [new_id() for _ in range(5)]
    for key in reversed(keys):
        await simulator.charge(key, PRICE, "sim_ok")
        await simulator.refund(key, key, PRICE)
    for kind in MovementKind:
        listed = [movement.key async for movement in simulator.list_movements(kind)]
        assert [key for key in listed if key in keys] == keys
        assert listed == sorted(listed)


async def test_the_list_holds_only_movements_of_money(simulator: Simulator) -> None:
    charge, declined, refund = new_id(), new_id(), new_id()
    since = datetime.now(UTC) - timedelta(seconds=2)
    await simulator.charge(charge, PRICE, "sim_ok")
    await simulator.charge(declined, PRICE, "sim_declined")
    await simulator.refund(refund, charge, Money(amount=5, currency="USD"))
    moved = [
        movement
        async for movement in simulator.list_movements_since(since)
        if movement.charge_key in (charge, declined)
    ]
    assert [(movement.kind, movement.key, movement.money.amount) for movement in moved] == [
        (MovementKind.CHARGE, charge, 1200),
        (MovementKind.REFUND, refund, 5),
    ]


async def test_an_unreachable_database_is_a_gateway_error(
    disconnected_simulator: Callable[[], Awaitable[Simulator]],
) -> None:
    simulator = await disconnected_simulator()
    calls: list[Awaitable[object]] = [
        simulator.charge(new_id(), PRICE, "sim_ok"),
        simulator.charge(new_id(), PRICE, "sim_ok"),
        simulator.void(new_id(), PRICE),
        simulator.find_charge(new_id()),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [GatewayError] * 4


def test_a_payment_method_finds_its_gateway(simulator: Simulator) -> None:
    gateways = GatewayRegistry([simulator])
    assert all(gateways.for_method(token) is simulator for token in TOKENS)
    assert gateways.for_method("pm_card_visa") is None
    assert gateways.by_name("simulator") is simulator
