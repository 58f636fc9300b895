"""The arithmetic of the table, and the command lines of the bench and the profiler. Nothing is measured here."""

import pytest

from tests.bench import profiling
from tests.bench.__main__ import exit_code, parse, report_full_run
from tests.bench.flame_graphs import FunctionShare, function_shares, package_shares
from tests.bench.full_run import FullRun, mail_share
from tests.bench.growth import Growth
from tests.bench.load_generator import BenchResult
from tests.bench.report import cpu_table, requirement_table
from tests.bench.requirements import NOT_REQUIRED, Requirement, Row, at_most, of_aiohttp
from tests.bench.scenarios import CHECKOUT, SCENARIOS
from tests.bench.vocabulary import Vocabulary

HALF_AS_FAST = 15_000.0
"""Bare aiohttp per second on a machine that is half as fast as the one for which rates are required."""


def test_a_share_of_aiohttp_is_the_same_on_every_machine() -> None:
    row = Row("detail", 4_500, of_aiohttp(0.30, 0.40), HALF_AS_FAST)
    assert (row.of_aiohttp, row.ratio, row.is_missed) == (0.30, 1.0, False)
    assert Row("detail", 4_499, of_aiohttp(0.30, 0.40), HALF_AS_FAST).is_missed


def test_a_rate_is_scaled_to_the_machine() -> None:
    row = Row("checkout", 70, Requirement(280, 450), HALF_AS_FAST)
    assert (row.required, row.hoped, row.ratio, row.is_missed) == (140, 225, 0.5, True)


def test_a_latency_is_not_scaled_and_must_be_small() -> None:
    row = Row("p99", 60, at_most(120, 80, "ms"), HALF_AS_FAST)
    assert (row.required, row.hoped, row.of_aiohttp, row.ratio, row.is_missed) == (120, 80, None, 2.0, False)
    assert Row("p99", 240, at_most(120, 80, "ms"), HALF_AS_FAST).ratio == 0.5


def test_failed_requests_miss_the_requirement() -> None:
    assert Row("cart", 9_999, Requirement(1_700), HALF_AS_FAST, errors=1).is_missed
    assert not Row("login", 7, NOT_REQUIRED, HALF_AS_FAST, errors=1).is_missed


def test_the_table_shows_what_is_missed() -> None:
    rows = [Row("checkout", 70, Requirement(280, 450), HALF_AS_FAST, errors=2), Row("login", 7, NOT_REQUIRED, 15_000)]
    markdown = requirement_table(rows).to_markdown().splitlines()
    assert "| checkout | 70.0/s | 0.00 | 140/s | 225/s | 0.50 | missed, 2 errors |" in markdown
    assert "| login | 7.0/s | 0.00 |  |  |  |  |" in markdown


def test_every_scenario_has_a_name_of_its_own() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    shorts = [scenario.short for scenario in SCENARIOS if scenario.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)
    assert CHECKOUT in names


def test_the_cpu_of_an_operation_leaves_out_the_load_generator() -> None:
    result = BenchResult("checkout", steps=200, cpu_seconds={"load": 9.0, "edge": 0.1, "order": 0.3, "mail": 9.0})
    assert result.cpu_microseconds()["edge"] == 500
    row = dict(zip(cpu_table([result]).columns, cpu_table([result]).rows[0], strict=True))
    assert (row["edge"], row["order"], row["sum"]) == ("500", "1,500", "2,000")


def test_the_share_of_mails_is_of_the_shop_alone() -> None:
    used = {"load": 9.0, "mail": 9.0, "notification": 1.0, "order": 3.0}
    assert mail_share(BenchResult("checkout", cpu_seconds=used)) == 0.25


def test_a_run_that_other_programs_disturb_says_so() -> None:
    run = FullRun(8.0, print, aiohttp=[BenchResult("a", 1.0, [0.1] * 100), BenchResult("b", 1.0, [0.1] * 80)])
    assert run.aiohttp_rate == 90
    assert len(run.notes) == 1


def test_growth_compares_the_large_size_with_the_small_one() -> None:
    growth = Growth("products", 10, 100, 1.0, "", print)
    small = BenchResult("small", 1.0, [0.1] * 100)
    growth.results = {
        "slower": [small, BenchResult("large", 1.0, [0.1] * 79)],
        "as fast": [small, BenchResult("large", 1.0, [0.1] * 80)],
        "failing": [small, BenchResult("large", 1.0, [0.1] * 100, errors=1)],
    }
    assert growth.missed == ["slower", "failing"]
    assert growth.table().rows[0][3:5] == ("0.79", "0.99")


def test_a_new_search_is_never_repeated() -> None:
    words = Vocabulary()
    assert len({words.new_search() for _ in range(20_000)}) == 20_000


def test_a_missed_requirement_fails_only_if_asked_to() -> None:
    slow, fast = (BenchResult("a", 1.0, [0.1] * count) for count in (9, 1_000))
    checkout = next(scenario for scenario in SCENARIOS if scenario.name == CHECKOUT)
    run = FullRun(8.0, print, results=[(checkout, slow)], aiohttp=[fast, fast])
    assert report_full_run(run).missed == [CHECKOUT], "9 of 1,000 is less than 280 of 30,000"
    assert exit_code(report_full_run(run), require=False) == 0
    assert exit_code(report_full_run(run), require=True) == 1


def test_bench_options() -> None:
    options = parse([])
    assert (options.products, options.orders, options.require, options.only) == (None, None, False, "")
    assert parse(["catalogue"]).products == 100_000
    assert parse(["catalogue", "--products", "5000"]).products == 5_000
    assert parse(["orders"]).orders == 1_000_000
    for arguments in (["--products", "1000"], ["--orders", "10"], ["unknown"]):
        with pytest.raises(SystemExit):
            parse(arguments)


def test_profile_options() -> None:
    assert profiling.parser().parse_args(["checkout"]).seconds == 10
    with pytest.raises(SystemExit):
        profiling.parser().parse_args(["unknown"])


def test_a_flame_graph_tells_what_each_function_uses() -> None:
    def frame(title: str, y: int, x: int, width: int) -> str:
        return f'<g><title>{title} ({width} samples, 1%)</title><rect x="0%" y="{y}" fg:x="{x}" fg:w="{width}"/></g>'

    graph = frame("all", 10, 0, 100) + frame("run", 20, 0, 100) + frame("parse", 30, 0, 40) + frame("run", 40, 0, 30)
    graph += frame("&lt;write&gt;", 30, 40, 50)
    assert function_shares(graph) == [
        FunctionShare("<write>", 0.5, 0.5),
        FunctionShare("run", 0.4, 1.0),
        FunctionShare("parse", 0.1, 0.4),
    ]


def test_functions_are_added_up_by_package() -> None:
    functions = (
        "loads (json/decoder.py:343)",
        "encode (json/encoder.py:2)",
        "place (services/order/handlers/place.py:4)",
    )
    shares = package_shares([FunctionShare(function, 0.2, 0.2) for function in (*functions, "all")])
    assert shares == {"json": 0.4, "services/order": 0.2, "all": 0.2}
