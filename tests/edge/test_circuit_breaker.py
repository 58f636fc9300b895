"""When a circuit breaker opens and closes, with a fake clock."""

import pytest

from contracts.failure import Unavailable
from edge.upstream.circuit_breaker import CircuitBreaker


class FakeClock:
    """Seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def probes() -> list[str]:
    return []


@pytest.fixture
def breaker(clock: FakeClock, probes: list[str]) -> CircuitBreaker:
    return CircuitBreaker(
        "order",
        lambda: probes.append("probe"),
        silence_seconds=2.0,
        unanswered_limit=5,
        probe_interval_seconds=1.0,
        clock=clock,
    )


def call(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.before_call()


def test_opens_when_no_response_arrives(breaker: CircuitBreaker, clock: FakeClock) -> None:
    call(breaker, 5)
    clock.now += 2.1
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            call(breaker)
        assert refused.value.retry_after == 1
    assert breaker.is_open


def test_probes_at_intervals_and_closes_after_a_response(
    breaker: CircuitBreaker, clock: FakeClock, probes: list[str]
) -> None:
    call(breaker, 5)
    clock.now += 2.1
    for probes_so_far in (1, 1, 2):
        with pytest.raises(Unavailable):
            call(breaker)
        assert len(probes) == probes_so_far
        clock.now += 0.6
    breaker.on_success()
    call(breaker, 20)
    assert not breaker.is_open


def test_stays_closed_while_one_of_two_processes_is_frozen(breaker: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(200):
        call(breaker, 2)
        clock.now += 0.2
        breaker.on_success()
    assert not breaker.is_open


def test_stays_closed_with_few_unanswered_calls(breaker: CircuitBreaker, clock: FakeClock) -> None:
    call(breaker, 4)
    clock.now += 60
    call(breaker)
    assert not breaker.is_open


def test_stays_closed_while_responses_are_slow(breaker: CircuitBreaker, clock: FakeClock) -> None:
    call(breaker, 50)
    clock.now += 1.9
    call(breaker, 50)
    breaker.on_success()
    clock.now += 1.9
    call(breaker)
    assert not breaker.is_open


def test_calls_that_were_not_sent_do_not_count(breaker: CircuitBreaker, clock: FakeClock) -> None:
    for _ in range(50):
        call(breaker)
        breaker.on_not_sent()
        clock.now += 1
    assert not breaker.is_open
