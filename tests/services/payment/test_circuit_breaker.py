"""An unavailable gateway is not called all the time, and does not affect the others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from contracts.money import Money
from infra.database.postgres import connect
from infra.messaging.rpc_client import RpcClient
from services.payment.deps import PaymentDeps
from services.payment.domain.charges import ChargeOutcome, ChargeState
from services.payment.domain.gift_card_guesses import GiftCardGuessLimit
from services.payment.gateways import GatewayError, GatewayRegistry
from services.payment.gateways.circuit_breaker import GatewayBreaker
from services.payment.workers.charge import ChargeWorker
from tests.services.payment.conftest import GIFT_CARD_SECRET, PaymentHarness, settings_of
from tests.services.payment.test_competing_workers import claim_attempt

FAILURE_THRESHOLD, PAUSE_SECONDS = 3, 5.0


class FakeClock:
    """A clock that moves only when the test moves it."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_breaker(clock: FakeClock) -> GatewayBreaker:
    return GatewayBreaker("bank", failure_threshold=FAILURE_THRESHOLD, pause_seconds=PAUSE_SECONDS, clock=clock)


def open_breaker(clock: FakeClock) -> GatewayBreaker:
    breaker = make_breaker(clock)
    for _ in range(FAILURE_THRESHOLD):
        assert breaker.allow_call()
        breaker.record_failure()
    return breaker


def test_the_breaker_opens_only_after_failures_in_a_row() -> None:
    breaker = make_breaker(FakeClock())
    for _ in range(5):
        for _ in range(FAILURE_THRESHOLD - 1):
            breaker.record_failure()
        breaker.record_success()
    assert not breaker.is_open
    assert open_breaker(FakeClock()).is_open


def test_an_open_breaker_allows_a_trial_call_after_each_pause() -> None:
    clock = FakeClock()
    breaker = open_breaker(clock)
    assert not breaker.allow_call()
    clock.now += PAUSE_SECONDS
    assert [breaker.allow_call() for _ in range(3)] == [True, False, False]
    breaker.record_failure()
    clock.now += PAUSE_SECONDS
    assert breaker.allow_call()


def test_any_answer_closes_the_breaker() -> None:
    breaker = open_breaker(FakeClock())
    breaker.record_success()
    assert not breaker.is_open
    assert breaker.allow_call()


class FakeGateway:
    """A gateway that counts its calls, and fails while `is_down`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_down = False
        self.calls = 0

    def accepts(self, method: str) -> bool:
        return method == self.name

    async def charge(self, _key: UUID, _money: Money, _method: str) -> ChargeOutcome:
        self.calls += 1
        if self.is_down:
            raise GatewayError
        return ChargeOutcome(ChargeState.CAPTURED)


@pytest.fixture
def banks() -> tuple[FakeGateway, FakeGateway]:
    return FakeGateway("bank"), FakeGateway("other")


@pytest.fixture
async def charge_worker(harness: PaymentHarness, banks: tuple[FakeGateway, FakeGateway]) -> AsyncIterator[ChargeWorker]:
    """A worker on the database of the running service, which leaves work alone that is postponed for so long."""
    async with connect(settings_of(harness.stack), "payment-test") as db:
        db.wake_relay = harness.wake_relay
        deps = PaymentDeps(
            db,
            RpcClient(harness.orders.client, 1),
            GatewayRegistry(banks, failure_threshold=FAILURE_THRESHOLD, pause_seconds=600),
            gateway_timeout_seconds=1,
            gateway_concurrency=1,
            charge_deadline_seconds=60,
            wait_seconds=1,
            gift_card_secret=GIFT_CARD_SECRET,
            gift_card_guesses=GiftCardGuessLimit(0, GIFT_CARD_SECRET),
        )
        yield ChargeWorker(deps)
    await harness.db.execute("UPDATE attempt SET due_at = now()")
    await harness.captured()  # it wakes the running service, which finishes the rest
    await harness.wait_until_idle()


async def tries(harness: PaymentHarness, payment_id: UUID) -> int:
    return int(await harness.db.fetchval("SELECT tries FROM attempt WHERE payment_id = $1", payment_id))


async def test_an_attempt_without_a_call_is_returned_unused(
    harness: PaymentHarness, charge_worker: ChargeWorker, banks: tuple[FakeGateway, FakeGateway]
) -> None:
    bank, other = banks
    bank.is_down = True
    first = await claim_attempt(harness, harness.order(), "bank")
    await charge_worker.settle([await charge_worker.perform(first)])
    assert (bank.calls, await tries(harness, first.payment_id)) == (FAILURE_THRESHOLD, 1)

    second = await claim_attempt(harness, harness.order(), "bank")
    await charge_worker.settle([await charge_worker.perform(second)])
    assert (bank.calls, await tries(harness, second.payment_id)) == (FAILURE_THRESHOLD, 0)

    third = await claim_attempt(harness, harness.order(), "other")
    await charge_worker.settle([await charge_worker.perform(third)])
    assert other.calls == 1
    await harness.events.wait_for(third.payment_id, "captured")


async def test_an_overdue_attempt_ends_without_a_call(
    harness: PaymentHarness, charge_worker: ChargeWorker, banks: tuple[FakeGateway, FakeGateway]
) -> None:
    """A gateway that was never called needs no void."""
    banks[0].is_down = True
    await charge_worker.perform(await claim_attempt(harness, harness.order(), "bank"))
    late = replace(await claim_attempt(harness, harness.order(), "bank"), overdue=True)
    await charge_worker.settle([await charge_worker.perform(late)])
    assert banks[0].calls == FAILURE_THRESHOLD
    await harness.events.wait_for(late.payment_id, "failed")
