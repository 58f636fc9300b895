"""So many mails a second, and no more."""

from hypothesis import given
from hypothesis import strategies as st

from services.notification.mail.token_bucket import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_idle_sender_may_begin_at_once() -> None:
    pace = TokenBucket(50, Clock())
    assert pace.take(1) == 1
    assert pace.take(10) == 10


def test_under_load_permits_come_in_batches() -> None:
    clock = Clock()
    pace = TokenBucket(50, clock)
    assert pace.take(50) == 50
    clock.now += 0.1
    assert pace.take(50) == 0
    clock.now += 0.1001
    assert pace.take(50) == 10


def test_what_is_not_used_is_not_lost() -> None:
    pace = TokenBucket(50, Clock())
    taken = pace.take(50)
    pace.give_back(taken - 1)
    assert pace.take(50) == 49


def test_a_slow_pace_still_sends() -> None:
    clock = Clock()
    pace = TokenBucket(0.1, clock)
    assert pace.take(50) == 1
    assert pace.take(50) == 0
    clock.now += 11
    assert pace.take(50) == 1


@given(
    rate=st.floats(0.01, 1000),
    looks=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 100)), max_size=50),
)
def test_never_more_than_a_second_ahead(rate: float, looks: list[tuple[float, int]]) -> None:
    clock = Clock()
    pace = TokenBucket(rate, clock)
    taken = 0
    for passed, most in looks:
        clock.now += passed
        got = pace.take(most)
        assert 0 <= got <= most
        taken += got
    assert taken <= max(rate, 1) + rate * (clock.now - 100.0) + 1e-6
