"""How much is taken in, by a clock of the test's own."""

import math

import pytest
from prometheus_client import CollectorRegistry

from contracts.failure import Overloaded
from edge.settings import EdgeSettings
from edge.upstream.load_shedding import INITIAL_LIMIT, MIN_LIMIT, NORMAL_PRIORITY_SHARE, LoadShedder

TARGET = 0.5


class Shop:
    """A shop that takes as long as the test says."""

    def __init__(self, **changed: int) -> None:
        self.at = 10.0
        settings = EdgeSettings(_env_file=None, nats_password="x", edge_latency_target=TARGET, **changed)
        self.admission = LoadShedder(settings, CollectorRegistry(), lambda: self.at)

    def fill(self, service: str = "cart", *, urgent: bool = False, aside: bool = False) -> list[int]:
        """As many as are taken in."""
        tickets = []
        try:
            while True:
                tickets.append(self.admission.acquire(service, has_priority=urgent, is_isolated=aside))
        except Overloaded:
            return tickets

    def answer(
        self, tickets: list[int], service: str = "cart", *, after: float, telling: bool = True, answered: bool = True
    ) -> None:
        self.at += after
        for ticket in tickets:
            self.admission.release(ticket, service, has_responded=answered, is_latency_sample=telling)

    def rounds(self, count: int, *, after: float) -> None:
        for _ in range(count):
            self.answer(self.fill(), after=after)
            self.at += TARGET


def test_takes_less_while_answers_are_late_and_never_nothing() -> None:
    shop = Shop()
    before = len(shop.fill(urgent=True))
    assert before == INITIAL_LIMIT
    shop = Shop()
    shop.rounds(30, after=2 * TARGET)
    assert shop.admission.limit == MIN_LIMIT


def test_takes_more_while_it_can_be_done_in_time() -> None:
    shop = Shop()
    shop.rounds(50, after=0.1)
    assert shop.admission.limit == 512
    assert len(shop.fill()) == 256, "one service has half of it at most"


def test_finds_back_when_it_is_quiet() -> None:
    shop = Shop()
    shop.rounds(30, after=2 * TARGET)
    for _ in range(100):
        shop.answer([shop.admission.acquire("cart", has_priority=False)], after=0.01)
        shop.at += TARGET
    assert shop.admission.limit == INITIAL_LIMIT


def test_what_finishes_something_comes_first() -> None:
    shop = Shop()
    assert len(shop.fill()) == math.ceil(INITIAL_LIMIT * NORMAL_PRIORITY_SHARE)
    assert shop.admission.acquire("order", has_priority=True)


def test_what_hangs_does_not_close_the_others_doors() -> None:
    shop = Shop()
    hanging = shop.fill("order", urgent=True)
    with pytest.raises(Overloaded):
        shop.admission.acquire("cart", has_priority=False)
    shop.at += TARGET * 2.1
    assert shop.admission.acquire("cart", has_priority=False)
    shop.answer(hanging, "order", after=9, answered=False)
    assert shop.admission.limit >= INITIAL_LIMIT


def test_what_is_late_still_counts_while_answers_come() -> None:
    shop = Shop()
    waiting = shop.fill("cart")
    for _ in range(20):
        shop.answer([waiting.pop(0)], after=TARGET)
        waiting += shop.fill("cart")
        assert len(waiting) <= INITIAL_LIMIT * NORMAL_PRIORITY_SHARE + 1
    assert shop.admission.limit == MIN_LIMIT


def test_the_outer_bound_holds_whatever_hangs() -> None:
    shop = Shop(edge_max_in_flight=100)
    taken = 0
    for service in ("order", "cart", "catalog"):
        for _ in range(200):
            shop.at += 3 * TARGET
            taken += len(shop.fill(service, urgent=True))
    assert taken == 100


def test_what_takes_its_time_on_purpose_says_nothing() -> None:
    shop = Shop()
    for _ in range(20):
        shop.answer(shop.fill("user"), "user", after=4 * TARGET, telling=False)
    assert shop.admission.limit >= INITIAL_LIMIT


def test_a_flood_of_logins_closes_nobody_else_s_door() -> None:
    """They take their time on purpose, which says nothing either."""
    shop = Shop()
    logins = shop.fill("user", aside=True)
    assert len(logins) == 64
    before = shop.admission.limit
    assert len(shop.fill("user")) == INITIAL_LIMIT * NORMAL_PRIORITY_SHARE
    shop.answer(logins, "user", after=10 * TARGET)
    assert shop.admission.limit == before
    assert shop.fill("user", aside=True)
