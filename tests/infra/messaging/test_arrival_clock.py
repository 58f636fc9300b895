"""When a message can have come, told by a clock of the test's own."""

import pytest

from infra.messaging.arrival_clock import CATCHING_UP, Heart


class Beating:
    """A heart whose time the test moves."""

    def __init__(self) -> None:
        self.at = 100.0
        self.heart = Heart(lambda: self.at)

    def go_on(self, seconds: float) -> None:
        """Time passes on a loop that beats."""
        for _ in range(round(seconds / 0.05)):
            self.at += 0.05
            self.heart.beat()

    def age(self) -> float:
        """Seconds for which what is read now may have waited."""
        return self.at - self.heart.earliest()


@pytest.fixture
def beating() -> Beating:
    found = Beating()
    found.go_on(1)
    return found


def test_what_comes_to_a_beating_loop_has_just_come(beating: Beating) -> None:
    beating.at += 0.04
    assert beating.age() < 0.11


@pytest.mark.parametrize("beat_first", [False, True])
def test_what_is_read_after_a_pause_may_have_waited_through_it(beating: Beating, *, beat_first: bool) -> None:
    beating.at += 10
    if beat_first:
        beating.heart.beat()
    assert beating.age() >= 10
    beating.go_on(CATCHING_UP / 2)
    assert beating.age() >= 10


def test_a_pause_is_forgotten(beating: Beating) -> None:
    beating.at += 10
    beating.go_on(CATCHING_UP + 0.15)
    assert beating.age() < 0.11


def test_a_loop_that_always_lags_is_not_old_for_ever(beating: Beating) -> None:
    for _ in range(100):
        beating.at += 0.3
        beating.heart.beat()
    assert beating.age() <= 0.3 + 0.3 + CATCHING_UP + 0.3
