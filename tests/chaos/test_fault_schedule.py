"""The timeline of a fault run: the same for the same seed, complete, and possible."""

import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.fault_schedule import OF_A_NODE, QUIET, SERVERS, STORES, TIMES, Fault, Kind, Shape, Timeline, plan

SECONDS = 500.0
PROCESSES = {
    "user": ["user"],
    "catalog": ["catalog-1", "catalog-2"],
    "cart": ["cart"],
    "order": ["order-1", "order-2"],
    "payment": ["payment-1", "payment-2"],
    "notification": ["notification"],
    "edge": ["edge"],
}


def shape(nodes: int) -> Shape:
    return Shape(PROCESSES, nodes, [f"point.{n}" for n in range(60)], ["ORDER.catalog", "PAYMENT.order"], ["point.1"])


def service_of(fault: Fault) -> str:
    return next((name for name, several in PROCESSES.items() if fault.target in several), fault.target)


@pytest.mark.parametrize("nodes", [1, 3])
def test_everything_comes_as_often_as_it_should(nodes: int) -> None:
    times = Counter((fault.kind, service_of(fault)) for fault in plan(1, shape(nodes), SECONDS))
    for kind in (Kind.KILL, Kind.PAUSE):
        for name in (*PROCESSES, *SERVERS, *shape(nodes).nodes):
            of_a_node = kind is Kind.PAUSE and name.startswith("nats-")
            assert times[kind, name] == (OF_A_NODE if of_a_node else TIMES), (kind, name)
    assert times[Kind.AWAY, "nats"] == TIMES
    assert sum(count for (kind, _), count in times.items() if kind is Kind.LEADER) == (TIMES if nodes == 3 else 0)
    assert all(times[Kind.DISK, store] == TIMES for store in STORES)
    assert all(times[Kind.CLOCK, name] == 2 for name in PROCESSES if name != "edge")
    assert [times[Kind.CRASH, f"point.{n}"] for n in range(60)] == [1, TIMES, *[1] * 58]


def test_a_seed_gives_the_same_timeline_and_another_one_another() -> None:
    first, again, another = (plan(seed, shape(1), SECONDS, 1) for seed in (1, 1, 2))
    assert first == again
    assert first != another


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10**6), nodes=st.sampled_from([1, 3]))
def test_a_process_suffers_one_thing_at_a_time_and_none_in_the_calm(seed: int, nodes: int) -> None:
    suffering = shape(nodes)
    faults = [fault for fault in plan(seed, suffering, SECONDS, 3) if fault.kind not in QUIET]
    begin, end = Timeline(suffering, SECONDS, random.Random(0)).calm
    assert all(fault.at + fault.busy <= begin or fault.at >= end for fault in faults)
    assert all(fault.at > 0 and fault.at + fault.lasts < SECONDS for fault in faults)
    for one, other in combinations(faults, 2):
        if suffering.touched(one) & suffering.touched(other):
            assert one.at + one.busy <= other.at + 0.2 or other.at + other.busy <= one.at + 0.2, (one, other)


def test_one_kind_alone() -> None:
    assert {fault.kind for fault in plan(1, shape(1), 60, 1, only=[Kind.KILL])} == {Kind.KILL}


def test_what_finds_no_room_is_told() -> None:
    with pytest.raises(ValueError, match="faults of NATS alone"):
        plan(1, shape(1), 60)
