"""The timeline of a fault run: complete, free of overlaps, and equal for an equal seed."""

import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.fault_schedule import (
    DEFAULT_REPEATS,
    NON_EXCLUSIVE,
    PAUSES_PER_NODE,
    SERVERS,
    STORES,
    Fault,
    FaultKind,
    StackShape,
    Timeline,
    draw_timeline,
)

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


def shape(nodes: int) -> StackShape:
    return StackShape(
        PROCESSES, nodes, [f"point.{n}" for n in range(60)], ["ORDER.catalog", "PAYMENT.order"], ["point.1"]
    )


def service_of(fault: Fault) -> str:
    return next((name for name, several in PROCESSES.items() if fault.target in several), fault.target)


@pytest.mark.parametrize("nodes", [1, 3])
def test_every_fault_occurs_as_often_as_planned(nodes: int) -> None:
    times = Counter((fault.kind, service_of(fault)) for fault in draw_timeline(1, shape(nodes), SECONDS))
    for kind in (FaultKind.KILL, FaultKind.PAUSE):
        for name in (*PROCESSES, *SERVERS, *shape(nodes).nodes):
            of_a_node = kind is FaultKind.PAUSE and name.startswith("nats-")
            assert times[kind, name] == (PAUSES_PER_NODE if of_a_node else DEFAULT_REPEATS), (kind, name)
    assert times[FaultKind.OUTAGE, "nats"] == DEFAULT_REPEATS
    assert sum(count for (kind, _), count in times.items() if kind is FaultKind.LEADER) == (
        DEFAULT_REPEATS if nodes == 3 else 0
    )
    assert all(times[FaultKind.DISK, store] == DEFAULT_REPEATS for store in STORES)
    assert all(times[FaultKind.CLOCK, name] == 2 for name in PROCESSES if name != "edge")
    assert [times[FaultKind.CRASH, f"point.{n}"] for n in range(60)] == [1, DEFAULT_REPEATS, *[1] * 58]


def test_the_timeline_depends_on_the_seed_only() -> None:
    first, again, another = (draw_timeline(seed, shape(1), SECONDS, 1) for seed in (1, 1, 2))
    assert first == again
    assert first != another


@settings(max_examples=2)
@given(seed=st.integers(0, 10**6), nodes=st.sampled_from([1, 3]))
def test_faults_of_a_process_do_not_overlap(seed: int, nodes: int) -> None:
    suffering = shape(nodes)
    faults = [fault for fault in draw_timeline(seed, suffering, SECONDS, 3) if fault.kind not in NON_EXCLUSIVE]
    begin, end = Timeline(suffering, SECONDS, random.Random(0)).calm
    assert all(fault.at + fault.occupied_seconds <= begin or fault.at >= end for fault in faults)
    assert all(fault.at > 0 and fault.at + fault.duration_seconds < SECONDS for fault in faults)
    for one, other in combinations(faults, 2):
        if suffering.occupied_processes(one) & suffering.occupied_processes(other):
            assert (
                one.at + one.occupied_seconds <= other.at + 0.2 or other.at + other.occupied_seconds <= one.at + 0.2
            ), (one, other)


def test_a_run_may_have_one_kind_of_fault() -> None:
    assert {fault.kind for fault in draw_timeline(1, shape(1), 60, 1, only=[FaultKind.KILL])} == {FaultKind.KILL}


def test_a_run_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="faults of NATS alone"):
        draw_timeline(1, shape(1), 60)
