"""When a message can have come, told by a clock of the test's own."""

import pytest

from infra.messaging.arrival_clock import CATCH_UP_SECONDS, ArrivalClock


class FakeLoop:
    """A heart whose time the test moves."""

    def __init__(self) -> None:
        self.at = 100.0
        self.heart = ArrivalClock(lambda: self.at)

    def advance(self, seconds: float) -> None:
        """Time passes on a loop that beats."""
        for _ in range(round(seconds / 0.05)):
            self.at += 0.05
            self.heart.record_tick()

    def age(self) -> float:
        """Seconds for which what is read now may have waited."""
        return self.at - self.heart.earliest_arrival()


@pytest.fixture
def beating() -> FakeLoop:
    found = FakeLoop()
    found.advance(1)
    return found


def test_what_comes_to_a_beating_loop_has_just_come(beating: FakeLoop) -> None:
    beating.at += 0.04
    assert beating.age() < 0.11


@pytest.mark.parametrize("beat_first", [False, True])
def test_what_is_read_after_a_pause_may_have_waited_through_it(beating: FakeLoop, *, beat_first: bool) -> None:
    beating.at += 10
    if beat_first:
        beating.heart.record_tick()
    assert beating.age() >= 10
    beating.advance(CATCH_UP_SECONDS / 2)
    assert beating.age() >= 10


def test_a_pause_is_forgotten(beating: FakeLoop) -> None:
    beating.at += 10
    beating.advance(CATCH_UP_SECONDS + 0.15)
    assert beating.age() < 0.11


def test_a_loop_that_always_lags_is_not_old_for_ever(beating: FakeLoop) -> None:
    for _ in range(100):
        beating.at += 0.3
        beating.heart.record_tick()
    assert beating.age() <= 0.3 + 0.3 + CATCH_UP_SECONDS + 0.3
