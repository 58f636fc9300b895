"""The simulated gateway by itself, on its real books."""

import asyncio
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


async def test_a_key_is_charged_once_whatever_is_asked_later(till_simulator: Simulator) -> None:
    key = new_id()
    assert await till_simulator.charge(key, PRICE, "sim_ok") == CAPTURED
    assert await till_simulator.charge(key, PRICE, "sim_declined") == CAPTURED
    assert await till_simulator.find_charge(key) == CAPTURED
    assert await till_simulator.find_charge(new_id()) is None


async def test_charges_of_one_moment_are_told_apart(till_simulator: Simulator) -> None:
    keys = [new_id() for _ in range(20)]
    asked = [till_simulator.charge(key, PRICE, ["sim_ok", "sim_declined"][place % 2]) for place, key in enumerate(keys)]
    again = [till_simulator.charge(key, PRICE, "sim_ok") for key in keys]
    outcomes = await asyncio.gather(*asked, *again)
    assert [outcome.state for outcome in outcomes] == ["captured", "declined"] * 20


async def test_an_error_once_charges_nothing_until_asked_again(till_simulator: Simulator) -> None:
    key = new_id()
    with pytest.raises(GatewayError):
        await till_simulator.charge(key, PRICE, "sim_error_once")
    assert await till_simulator.find_charge(key) is None
    assert await till_simulator.charge(key, PRICE, "sim_error_once") == CAPTURED


async def test_a_lost_answer_is_a_capture_that_the_next_asker_hears_of(till_simulator: Simulator) -> None:
    key = new_id()
    with pytest.raises(GatewayError):
        await till_simulator.charge(key, PRICE, "sim_lost_answer")
    assert await till_simulator.find_charge(key) == CAPTURED
    assert await till_simulator.charge(key, PRICE, "sim_lost_answer") == CAPTURED
    movements = [
        movement async for movement in till_simulator.list_movements(MovementKind.CHARGE) if movement.key == key
    ]
    assert [movement.money for movement in movements] == [PRICE]


async def test_a_late_answer_is_found_by_asking_again(till_simulator: Simulator) -> None:
    key = new_id()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await till_simulator.charge(key, PRICE, "sim_timeout")
    assert await till_simulator.find_charge(key) is None
    assert await eventually(lambda: till_simulator.find_charge(key)) == CAPTURED


async def test_what_is_voided_is_never_captured(till_simulator: Simulator) -> None:
    late, unheard, acting, done = (new_id() for _ in range(4))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await till_simulator.charge(late, PRICE, "sim_timeout")
    await till_simulator.charge(acting, PRICE, "sim_action")
    await till_simulator.charge(done, PRICE, "sim_ok")
    for key in (late, unheard, acting):
        assert (await till_simulator.void(key, PRICE)).state == "voided"
        assert (await till_simulator.charge(key, PRICE, "sim_ok")).state == "voided"
        assert (await till_simulator.confirm(key)).state == "voided"
    assert await till_simulator.void(done, PRICE) == CAPTURED


async def test_refunds_stay_within_the_charge(till_simulator: Simulator) -> None:
    charge, first, second = new_id(), new_id(), new_id()
    with pytest.raises(RefundRefused):
        await till_simulator.refund(first, charge, PRICE)
    await till_simulator.charge(charge, PRICE, "sim_ok")
    for _ in range(2):
        await till_simulator.refund(first, charge, PRICE)
    with pytest.raises(RefundRefused):
        await till_simulator.refund(second, charge, Money(amount=1, currency="USD"))
    assert await till_simulator.has_refunded(first)
    assert not await till_simulator.has_refunded(second)
    assert not await till_simulator.has_refunded(new_id())


async def test_everything_is_listed_in_the_order_of_keys(
    till_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.payment.gateways.simulator.PAGE", 2)
    keys = [new_id() for _ in range(5)]
    for key in reversed(keys):
        await till_simulator.charge(key, PRICE, "sim_ok")
        await till_simulator.refund(key, key, PRICE)
    for kind in MovementKind:
        listed = [movement.key async for movement in till_simulator.list_movements(kind)]
        assert [key for key in listed if key in keys] == keys
        assert listed == sorted(listed)


async def test_the_list_has_what_moved_and_nothing_else(till_simulator: Simulator) -> None:
    charge, declined, refund = new_id(), new_id(), new_id()
    begun = datetime.now(UTC) - timedelta(seconds=2)
    await till_simulator.charge(charge, PRICE, "sim_ok")
    await till_simulator.charge(declined, PRICE, "sim_declined")
    await till_simulator.refund(refund, charge, Money(amount=5, currency="USD"))
    moved = [
        movement
        async for movement in till_simulator.list_movements_since(begun)
        if movement.charge_key in (charge, declined)
    ]
    assert [(movement.kind, movement.key, movement.money.amount) for movement in moved] == [
        (MovementKind.CHARGE, charge, 1200),
        (MovementKind.REFUND, refund, 5),
    ]


async def test_books_out_of_reach_are_an_error_that_says_nothing_of_the_charge(
    lost_simulator: Callable[[], Awaitable[Simulator]],
) -> None:
    simulator = await lost_simulator()
    calls: list[Awaitable[object]] = [
        simulator.charge(new_id(), PRICE, "sim_ok"),
        simulator.charge(new_id(), PRICE, "sim_ok"),
        simulator.void(new_id(), PRICE),
        simulator.find_charge(new_id()),
    ]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [GatewayError] * 4


def test_a_method_finds_its_gateway(till_simulator: Simulator) -> None:
    gateways = GatewayRegistry([till_simulator])
    assert all(gateways.for_method(token) is till_simulator for token in TOKENS)
    assert gateways.for_method("pm_card_visa") is None
    assert gateways.by_name("simulator") is till_simulator
