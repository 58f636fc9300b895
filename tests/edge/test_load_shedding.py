"""Load shedding, with a fake clock."""

import math

import pytest
from prometheus_client import CollectorRegistry

from contracts.failure import Overloaded
from edge.settings import EdgeSettings
from edge.upstream.load_shedding import INITIAL_LIMIT, MIN_LIMIT, NORMAL_PRIORITY_SHARE, LoadShedder

TARGET = 0.5


class LoadScenario:
    """Requests whose latency the test sets."""

    def __init__(self, **changed: int) -> None:
        self.now = 10.0
        settings = EdgeSettings(_env_file=None, nats_password="x", edge_latency_target=TARGET, **changed)
        self.load_shedder = LoadShedder(settings, CollectorRegistry(), lambda: self.now)

    def fill(self, service: str = "cart", *, has_priority: bool = False, is_isolated: bool = False) -> list[int]:
        """Sends requests until one is refused, and returns the tickets of the accepted ones."""
        tickets = []
        try:
            while True:
                tickets.append(self.load_shedder.acquire(service, has_priority=has_priority, is_isolated=is_isolated))
        except Overloaded:
            return tickets

    def finish(
        self,
        tickets: list[int],
        service: str = "cart",
        *,
        after: float,
        is_latency_sample: bool = True,
        has_responded: bool = True,
    ) -> None:
        """Ends requests after a time in seconds."""
        self.now += after
        for ticket in tickets:
            self.load_shedder.release(ticket, service, has_responded=has_responded, is_latency_sample=is_latency_sample)

    def run_rounds(self, count: int, *, after: float) -> None:
        for _ in range(count):
            self.finish(self.fill(), after=after)
            self.now += TARGET


def test_limit_falls_while_responses_are_slow_but_not_below_the_minimum() -> None:
    scenario = LoadScenario()
    before = len(scenario.fill(has_priority=True))
    assert before == INITIAL_LIMIT
    scenario = LoadScenario()
    scenario.run_rounds(30, after=2 * TARGET)
    assert scenario.load_shedder.limit == MIN_LIMIT


def test_limit_rises_while_responses_are_fast() -> None:
    scenario = LoadScenario()
    scenario.run_rounds(50, after=0.1)
    assert scenario.load_shedder.limit == 512
    assert len(scenario.fill()) == 256, "one service may have half of them"


def test_limit_recovers_when_the_load_is_low() -> None:
    scenario = LoadScenario()
    scenario.run_rounds(30, after=2 * TARGET)
    for _ in range(100):
        scenario.finish([scenario.load_shedder.acquire("cart", has_priority=False)], after=0.01)
        scenario.now += TARGET
    assert scenario.load_shedder.limit == INITIAL_LIMIT


def test_priority_requests_may_fill_the_whole_limit() -> None:
    scenario = LoadScenario()
    assert len(scenario.fill()) == math.ceil(INITIAL_LIMIT * NORMAL_PRIORITY_SHARE)
    assert scenario.load_shedder.acquire("order", has_priority=True)


def test_a_hanging_service_does_not_block_the_others() -> None:
    scenario = LoadScenario()
    hanging = scenario.fill("order", has_priority=True)
    with pytest.raises(Overloaded):
        scenario.load_shedder.acquire("cart", has_priority=False)
    scenario.now += TARGET * 2.1
    assert scenario.load_shedder.acquire("cart", has_priority=False)
    scenario.finish(hanging, "order", after=9, has_responded=False)
    assert scenario.load_shedder.limit >= INITIAL_LIMIT


def test_late_responses_lower_the_limit_while_others_arrive() -> None:
    scenario = LoadScenario()
    waiting = scenario.fill("cart")
    for _ in range(20):
        scenario.finish([waiting.pop(0)], after=TARGET)
        waiting += scenario.fill("cart")
        assert len(waiting) <= INITIAL_LIMIT * NORMAL_PRIORITY_SHARE + 1
    assert scenario.load_shedder.limit == MIN_LIMIT


def test_max_in_flight_holds_when_services_hang() -> None:
    scenario = LoadScenario(edge_max_in_flight=100)
    accepted = 0
    for service in ("order", "cart", "catalog"):
        for _ in range(200):
            scenario.now += 3 * TARGET
            accepted += len(scenario.fill(service, has_priority=True))
    assert accepted == 100


def test_requests_that_are_no_latency_sample_do_not_lower_the_limit() -> None:
    scenario = LoadScenario()
    for _ in range(20):
        scenario.finish(scenario.fill("user"), "user", after=4 * TARGET, is_latency_sample=False)
    assert scenario.load_shedder.limit >= INITIAL_LIMIT


def test_a_flood_of_logins_does_not_block_other_requests() -> None:
    """Password hashing is slow by design, so its latency does not change the limit either."""
    scenario = LoadScenario()
    logins = scenario.fill("user", is_isolated=True)
    assert len(logins) == 64
    before = scenario.load_shedder.limit
    assert len(scenario.fill("user")) == INITIAL_LIMIT * NORMAL_PRIORITY_SHARE
    scenario.finish(logins, "user", after=10 * TARGET)
    assert scenario.load_shedder.limit == before
    assert scenario.fill("user", is_isolated=True)
