"""The rate limit of mails."""

from hypothesis import given
from hypothesis import strategies as st

from services.notification.mail.token_bucket import TokenBucket


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_idle_bucket_serves_at_once() -> None:
    bucket = TokenBucket(50, FakeClock())
    assert bucket.take(1) == 1
    assert bucket.take(10) == 10


def test_tokens_come_in_batches_under_load() -> None:
    clock = FakeClock()
    bucket = TokenBucket(50, clock)
    assert bucket.take(50) == 50
    clock.now += 0.1
    assert bucket.take(50) == 0
    clock.now += 0.1001
    assert bucket.take(50) == 10


def test_unused_tokens_are_returned() -> None:
    bucket = TokenBucket(50, FakeClock())
    taken = bucket.take(50)
    bucket.give_back(taken - 1)
    assert bucket.take(50) == 49


def test_slow_rate_still_serves() -> None:
    clock = FakeClock()
    bucket = TokenBucket(0.1, clock)
    assert bucket.take(50) == 1
    assert bucket.take(50) == 0
    clock.now += 11
    assert bucket.take(50) == 1


@given(
    rate_per_second=st.floats(0.01, 1000),
    calls=st.lists(st.tuples(st.floats(0, 5), st.integers(1, 100)), max_size=50),
)
def test_never_more_than_one_second_ahead(rate_per_second: float, calls: list[tuple[float, int]]) -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate_per_second, clock)
    taken = 0
    for elapsed, limit in calls:
        clock.now += elapsed
        granted = bucket.take(limit)
        assert 0 <= granted <= limit
        taken += granted
    assert taken <= max(rate_per_second, 1) + rate_per_second * (clock.now - 100.0) + 1e-6
