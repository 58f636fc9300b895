"""The estimated arrival of messages, with a clock that the test controls."""

import pytest

from infra.messaging.arrival_clock import CATCH_UP_SECONDS, ArrivalClock


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
