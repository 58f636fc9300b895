"""A gateway that is away is not hammered, and takes nobody else along."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from contracts.money import Money
from infra.database.postgres import connect
from infra.messaging.rpc import Asker
from services.payment.domain.payments import Outcome, State
from services.payment.gateways import GatewayError, Gateways
from services.payment.gateways.circuit_breaker import Breaker
from services.payment.workers.charge import Charger
from services.payment.workers.completion import Outcomes
from services.payment.workers.refund import Refunder
from tests.services.payment.conftest import Till, settings_of
from tests.services.payment.test_redelivery import leased

ENOUGH, PAUSE = 3, 5.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def breaker(clock: Clock) -> Breaker:
    return Breaker("bank", failures=ENOUGH, pause=PAUSE, clock=clock)


def opened(clock: Clock) -> Breaker:
    made = breaker(clock)
    for _ in range(ENOUGH):
        assert made.lets_through()
        made.failed()
    return made


def test_opens_after_failures_in_a_row_only() -> None:
    made = breaker(Clock())
    for _ in range(5):
        for _ in range(ENOUGH - 1):
            made.failed()
        made.answered()
    assert not made.open
    assert opened(Clock()).open


def test_one_call_goes_through_now_and_then() -> None:
    clock = Clock()
    made = opened(clock)
    assert not made.lets_through()
    clock.now += PAUSE
    assert [made.lets_through() for _ in range(3)] == [True, False, False]
    made.failed()
    clock.now += PAUSE
    assert made.lets_through()


def test_any_answer_closes_it() -> None:
    made = opened(Clock())
    made.answered()
    assert not made.open
    assert made.lets_through()


class Bank:
    """A gateway of another company, which answers or does not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = False
        self.asked = 0

    def accepts(self, method: str) -> bool:
        return method == self.name

    async def charge(self, _key: UUID, _money: Money, _method: str) -> Outcome:
        self.asked += 1
        if self.away:
            raise GatewayError
        return Outcome(State.CAPTURED)


@pytest.fixture
def banks() -> tuple[Bank, Bank]:
    return Bank("bank"), Bank("other")


@pytest.fixture
async def charger(till: Till, banks: tuple[Bank, Bank]) -> AsyncIterator[Charger]:
    """On the books of the running service, which leaves alone what is put off for so long."""
    async with connect(settings_of(till.stack), "payment-test") as db:
        gateways, outcomes = Gateways(banks, failures=ENOUGH, pause=600), Outcomes()
        refunder = Refunder(db, gateways, outcomes, patience=1, limit=1)
        asker = Asker(till.orders.client, 1)
        yield Charger(db, asker, gateways, refunder, outcomes, patience=1, deadline=60, limit=1)
    await till.db.execute("UPDATE attempt SET due_at = now()")  # what is left is the running service's
    await till.idle()


async def tries(till: Till, payment_id: UUID) -> int:
    return int(await till.db.fetchval("SELECT tries FROM attempt WHERE payment_id = $1", payment_id))


async def test_what_is_not_asked_goes_back_untouched(till: Till, charger: Charger, banks: tuple[Bank, Bank]) -> None:
    bank, other = banks
    bank.away = True
    first = await leased(till, till.order(), "bank")
    await charger.settle([await charger.perform(first)])
    assert (bank.asked, await tries(till, first.payment_id)) == (ENOUGH, 1)

    second = await leased(till, till.order(), "bank")
    await charger.settle([await charger.perform(second)])
    assert (bank.asked, await tries(till, second.payment_id)) == (ENOUGH, 0)

    third = await leased(till, till.order(), "other")
    await charger.settle([await charger.perform(third)])
    assert other.asked == 1
    await till.events.of(third.payment_id, "captured")


async def test_the_deadline_holds_all_the_same(till: Till, charger: Charger, banks: tuple[Bank, Bank]) -> None:
    """Whoever was never asked need not be asked to forget it."""
    banks[0].away = True
    await charger.perform(await leased(till, till.order(), "bank"))
    late = replace(await leased(till, till.order(), "bank"), overdue=True)
    await charger.settle([await charger.perform(late)])
    assert banks[0].asked == ENOUGH
    await till.events.of(late.payment_id, "failed")
