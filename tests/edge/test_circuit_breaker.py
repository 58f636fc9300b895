"""When a service is asked no more, and when again, by a clock of the test's own."""

import pytest

from contracts.failure import Unavailable
from edge.upstream.circuit_breaker import Circuit


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
def circuit(clock: Clock, probes: list[str]) -> Circuit:
    return Circuit("order", lambda: probes.append("?"), silence=2.0, asks=5, pause=1.0, clock=clock)


def ask(circuit: Circuit, times: int = 1) -> None:
    for _ in range(times):
        circuit.pass_through()


def test_opens_when_nothing_comes_back(circuit: Circuit, clock: Clock) -> None:
    ask(circuit, 5)
    clock.at += 2.1
    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            ask(circuit)
        assert refused.value.retry_after == 1
    assert circuit.open


def test_looks_again_after_a_pause_and_closes_when_heard(circuit: Circuit, clock: Clock, probes: list[str]) -> None:
    ask(circuit, 5)
    clock.at += 2.1
    for looked in (1, 1, 2):
        with pytest.raises(Unavailable):
            ask(circuit)
        assert len(probes) == looked
        clock.at += 0.6
    circuit.heard()
    ask(circuit, 20)
    assert not circuit.open


def test_one_of_two_processes_that_is_frozen_does_not_open_it(circuit: Circuit, clock: Clock) -> None:
    for _ in range(200):
        ask(circuit, 2)
        clock.at += 0.2
        circuit.heard()
    assert not circuit.open


def test_a_few_asks_say_nothing(circuit: Circuit, clock: Clock) -> None:
    ask(circuit, 4)
    clock.at += 60
    ask(circuit)
    assert not circuit.open


def test_a_slow_answer_is_no_silence(circuit: Circuit, clock: Clock) -> None:
    ask(circuit, 50)
    clock.at += 1.9
    ask(circuit, 50)
    circuit.heard()
    clock.at += 1.9
    ask(circuit)
    assert not circuit.open


def test_what_never_left_says_nothing_of_the_service(circuit: Circuit, clock: Clock) -> None:
    for _ in range(50):
        ask(circuit)
        circuit.unsent()
        clock.at += 1
    assert not circuit.open
