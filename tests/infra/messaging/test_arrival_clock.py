"""The estimated arrival of messages, with a clock that the test controls."""

import pytest

from infra.messaging.arrival_clock import CATCH_UP_SECONDS, IDLE_TICK_SECONDS, TICK_SECONDS, ArrivalClock
from tests.support.eventually import eventually


class FakeLoop:
    """An arrival clock whose time the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.clock = ArrivalClock(lambda: self.now)

    def advance(self, seconds: float) -> None:
        """Lets time pass on a loop that is not stalled."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.clock.record_tick()

    async def idle(self) -> None:
        """Returns when the clock has recorded a slow tick."""
        self.clock.start()
        self.now += 10
        await eventually(lambda: self.clock.interval_seconds == IDLE_TICK_SECONDS)
        self.advance(CATCH_UP_SECONDS + 0.15)

    def age(self) -> float:
        """Returns the seconds for which a message read now may have waited."""
        return self.now - self.clock.earliest_arrival()


@pytest.fixture
def loop() -> FakeLoop:
    loop = FakeLoop()
    loop.advance(1)
    return loop


def test_message_on_a_running_loop_has_just_arrived(loop: FakeLoop) -> None:
    loop.now += 0.04
    assert loop.age() < 0.11


@pytest.mark.parametrize("tick_first", [False, True])
def test_message_after_a_stall_may_have_waited_through_it(loop: FakeLoop, *, tick_first: bool) -> None:
    loop.now += 10
    if tick_first:
        loop.clock.record_tick()
    assert loop.age() >= 10
    loop.advance(CATCH_UP_SECONDS / 2)
    assert loop.age() >= 10


def test_stall_is_forgotten(loop: FakeLoop) -> None:
    loop.now += 10
    loop.advance(CATCH_UP_SECONDS + 0.15)
    assert loop.age() < 0.11


def test_age_is_limited_on_a_loop_that_always_lags(loop: FakeLoop) -> None:
    for _ in range(100):
        loop.now += 0.3
        loop.clock.record_tick()
    assert loop.age() <= 0.3 + 0.3 + CATCH_UP_SECONDS + 0.3


async def test_first_message_after_an_idle_time_arrived_after_the_slow_tick(loop: FakeLoop) -> None:
    await loop.idle()
    loop.now += 0.24
    assert loop.age() == pytest.approx(0.24)
    assert loop.clock.interval_seconds == TICK_SECONDS
    loop.advance(0.15)
    assert loop.age() < 0.11
    loop.clock.stop()


@pytest.mark.parametrize("tick_first", [False, True])
async def test_message_after_a_stall_of_an_idle_loop_may_have_waited_through_it(
    loop: FakeLoop, *, tick_first: bool
) -> None:
    await loop.idle()
    loop.now += 10
    if tick_first:
        loop.clock.record_tick()
    assert loop.age() >= 10
    loop.advance(CATCH_UP_SECONDS / 2)
    assert loop.age() >= 10
    loop.clock.stop()
