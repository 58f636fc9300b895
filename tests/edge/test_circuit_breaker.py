"""When a service is asked no more, and when again, by a clock of the test's own."""

import pytest

from contracts.failure import Unavailable
from edge.upstream.circuit_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.at = 50.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probes() -> list[str]:
    return []


@pytest.fixture
def circuit(clock: Clock, probes: list[str]) -> CircuitBreaker:
    return CircuitBreaker(
        "order",
        lambda: probes.append("?"),
        silence_seconds=2.0,
        unanswered_limit=5,
        probe_interval_seconds=1.0,
        clock=clock,
    )


def ask(circuit: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        circuit.before_call()


def test_opens_when_nothing_comes_back(circuit: CircuitBreaker, clock: Clock) -> None:
    ask(circuit, 5)
    clock.at += 2.1
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            ask(circuit)
        assert refused.value.retry_after == 1
    assert circuit.is_open


def test_looks_again_after_a_pause_and_closes_when_heard(
    circuit: CircuitBreaker, clock: Clock, probes: list[str]
) -> None:
    ask(circuit, 5)
    clock.at += 2.1
    for looked in (1, 1, 2):
        with pytest.raises(Unavailable):
            ask(circuit)
        assert len(probes) == looked
        clock.at += 0.6
    circuit.on_success()
    ask(circuit, 20)
    assert not circuit.is_open


def test_one_of_two_processes_that_is_frozen_does_not_open_it(circuit: CircuitBreaker, clock: Clock) -> None:
    for _ in range(200):
        ask(circuit, 2)
        clock.at += 0.2
        circuit.on_success()
    assert not circuit.is_open


def test_a_few_asks_say_nothing(circuit: CircuitBreaker, clock: Clock) -> None:
    ask(circuit, 4)
    clock.at += 60
    ask(circuit)
    assert not circuit.is_open


def test_a_slow_answer_is_no_silence(circuit: CircuitBreaker, clock: Clock) -> None:
    ask(circuit, 50)
    clock.at += 1.9
    ask(circuit, 50)
    circuit.on_success()
    clock.at += 1.9
    ask(circuit)
    assert not circuit.is_open


def test_what_never_left_says_nothing_of_the_service(circuit: CircuitBreaker, clock: Clock) -> None:
    for _ in range(50):
        ask(circuit)
        circuit.on_not_sent()
        clock.at += 1
    assert not circuit.is_open
