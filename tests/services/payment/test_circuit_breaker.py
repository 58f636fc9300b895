"""A gateway that is away is not hammered, and takes nobody else along."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from contracts.money import Money
from infra.database.postgres import connect
from infra.messaging.rpc import RpcClient
from services.payment.domain.payments import ChargeOutcome, ChargeState
from services.payment.gateways import GatewayError, GatewayRegistry
from services.payment.gateways.circuit_breaker import GatewayBreaker
from services.payment.workers.charge import ChargeWorker
from services.payment.workers.completion import Completions
from services.payment.workers.refund import RefundWorker
from tests.services.payment.conftest import PaymentHarness, settings_of
from tests.services.payment.test_redelivery import claim_attempt

ENOUGH, PAUSE = 3, 5.0


class FakeClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: FakeClock) -> GatewayBreaker:
    return GatewayBreaker("bank", failure_threshold=ENOUGH, pause_seconds=PAUSE, clock=clock)


def opened(clock: FakeClock) -> GatewayBreaker:
    made = breaker(clock)
    for _ in range(ENOUGH):
        assert made.allow_call()
        made.record_failure()
    return made


def test_opens_after_failures_in_a_row_only() -> None:
    made = breaker(FakeClock())
    for _ in range(5):
        for _ in range(ENOUGH - 1):
            made.record_failure()
        made.record_success()
    assert not made.is_open
    assert opened(FakeClock()).is_open


def test_one_call_goes_through_now_and_then() -> None:
    clock = FakeClock()
    made = opened(clock)
    assert not made.allow_call()
    clock.now += PAUSE
    assert [made.allow_call() for _ in range(3)] == [True, False, False]
    made.record_failure()
    clock.now += PAUSE
    assert made.allow_call()


def test_any_answer_closes_it() -> None:
    made = opened(FakeClock())
    made.record_success()
    assert not made.is_open
    assert made.allow_call()


class FakeGateway:
    """A gateway of another company, which answers or does not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = False
        self.asked = 0

    def accepts(self, method: str) -> bool:
        return method == self.name

    async def charge(self, _key: UUID, _money: Money, _method: str) -> ChargeOutcome:
        self.asked += 1
        if self.away:
            raise GatewayError
        return ChargeOutcome(ChargeState.CAPTURED)


@pytest.fixture
def banks() -> tuple[FakeGateway, FakeGateway]:
    return FakeGateway("bank"), FakeGateway("other")


@pytest.fixture
async def charger(till: PaymentHarness, banks: tuple[FakeGateway, FakeGateway]) -> AsyncIterator[ChargeWorker]:
    """On the books of the running service, which leaves alone what is put off for so long."""
    async with connect(settings_of(till.stack), "payment-test") as db:
        gateways, outcomes = GatewayRegistry(banks, failure_threshold=ENOUGH, pause_seconds=600), Completions()
        refunder = RefundWorker(db, gateways, outcomes, timeout_seconds=1, concurrency=1)
        asker = RpcClient(till.orders.client, 1)
        yield ChargeWorker(
            db, asker, gateways, refunder, outcomes, timeout_seconds=1, deadline_seconds=60, concurrency=1
        )
    await till.db.execute("UPDATE attempt SET due_at = now()")  # what is left is the running service's
    await till.wait_until_idle()


async def tries(till: PaymentHarness, payment_id: UUID) -> int:
    return int(await till.db.fetchval("SELECT tries FROM attempt WHERE payment_id = $1", payment_id))


async def test_what_is_not_asked_goes_back_untouched(
    till: PaymentHarness, charger: ChargeWorker, banks: tuple[FakeGateway, FakeGateway]
) -> None:
    bank, other = banks
    bank.away = True
    first = await claim_attempt(till, till.order(), "bank")
    await charger.settle([await charger.perform(first)])
    assert (bank.asked, await tries(till, first.payment_id)) == (ENOUGH, 1)

    second = await claim_attempt(till, till.order(), "bank")
    await charger.settle([await charger.perform(second)])
    assert (bank.asked, await tries(till, second.payment_id)) == (ENOUGH, 0)

    third = await claim_attempt(till, till.order(), "other")
    await charger.settle([await charger.perform(third)])
    assert other.asked == 1
    await till.events.wait_for(third.payment_id, "captured")


async def test_the_deadline_holds_all_the_same(
    till: PaymentHarness, charger: ChargeWorker, banks: tuple[FakeGateway, FakeGateway]
) -> None:
    """Whoever was never asked need not be asked to forget it."""
    banks[0].away = True
    await charger.perform(await claim_attempt(till, till.order(), "bank"))
    late = replace(await claim_attempt(till, till.order(), "bank"), overdue=True)
    await charger.settle([await charger.perform(late)])
    assert banks[0].asked == ENOUGH
    await till.events.wait_for(late.payment_id, "failed")
