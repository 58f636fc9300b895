"""`souk logs`: parsing, filters, order, output and following."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from infra.ops.cli.commands import app
from infra.ops.cli.log_line_parser import parse_line, parse_lines
from infra.ops.cli.logs import follow_logs, parse_since
from infra.ops.devstack.data_dir import DataDir, open_data_dir
from infra.ops.devstack.errors import StackError

ORDER_LINES = [
    '{"time":"2026-01-31T08:00:00Z","level":"INFO","service":"order","message":"started"}',
    '{"time":"2026-01-31T08:00:02Z","level":"WARNING","message":"event redelivered","request_id":"r-1","event":"paid"}',
    '{"time":"2026-01-31T08:00:04Z","level":"ERROR","message":"failed","request_id":"r-2","exception":"T\\n  Error"}',
]
EDGE_LINES = [
    '{"time":"2026-01-31T08:00:01.000+00:00","level":"INFO","service":"edge","message":"request","request_id":"r-1"}',
]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    monkeypatch.setenv("SOUK_DATA", str(tmp_path / "souk"))
    found = open_data_dir(tmp_path / "souk")
    found.log_file("order-1").write_text("\n".join(ORDER_LINES) + "\n")
    found.log_file("edge").write_text("\n".join(EDGE_LINES) + "\n")
    return found


def show(*options: str) -> list[str]:
    result = CliRunner().invoke(app, ["logs", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def messages(*options: str) -> list[str]:
    return [str(orjson.loads(line)["message"]) for line in show("--json", *options)]


@pytest.mark.usefixtures("data_dir")
def test_logs_are_merged_by_time() -> None:
    assert messages() == ["started", "request", "event redelivered", "failed"]
    assert messages("order", "-n", "1") == ["failed"]
    assert messages("-n", "0") == []


@pytest.mark.usefixtures("data_dir")
def test_logs_are_filtered() -> None:
    assert messages("--level", "warning") == ["event redelivered", "failed"]
    assert messages("--request-id", "r-1") == ["request", "event redelivered"]
    assert messages("--since", "2026-01-31T08:00:02Z") == ["event redelivered", "failed"]
    assert messages("order", "--level", "error", "--since", "1m") == []


@pytest.mark.usefixtures("data_dir")
def test_lines_are_readable() -> None:
    shown = show("order", "--level", "warning")
    assert shown[0].split(maxsplit=1)[1] == "WARNING  event redelivered request_id=r-1 event=paid"
    assert shown[-1] == "  Error", "the exception is on lines of its own"
    assert any("INFO     edge           request" in line for line in show())


def test_logs_show_the_last_lines_of_each_process(data_dir: DataDir) -> None:
    data_dir.log_file("order-1").write_text("one\ntwo\nthree\n")
    assert show("order", "-n", "2") == ["two", "three"]


def test_rotated_parts_are_included(data_dir: DataDir) -> None:
    data_dir.log_file("order-1").rename(data_dir.log_file("order-1").with_suffix(".log.1"))
    data_dir.log_file("order-1").write_text("")
    assert messages("order", "--request-id", "r-2") == ["failed"]


def test_refusals_of_nginx_are_included(data_dir: DataDir) -> None:
    (data_dir.path / "nginx").mkdir()
    refused = (
        '{"time":"2026-01-31T08:00:03+00:00","level":"WARNING","service":"nginx","message":"refused","request_id":"n"}'
    )
    (data_dir.path / "nginx" / "refused.log").write_text(refused + "\n")
    assert messages("--request-id", "n") == ["refused"]


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["nope"], "There is no log of nope. Choose one of edge, order-1."),
        (["--level", "loud"], "Choose one of debug, info, warning, error, critical."),
        (["--since", "soon"], "is no age"),
    ],
)
def test_invalid_options_get_a_clear_error(options: list[str], text: str) -> None:
    with pytest.raises(StackError, match=text):
        CliRunner().invoke(app, ["logs", *options], catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("[4711] 2026/01/31 08:00:00.123456 [WRN] Slow Consumer", "WARNING", "Slow Consumer"),
        (
            "2026-01-31 08:00:00.123 UTC [77] souk_order@souk_order ERROR:  deadlock detected",
            "ERROR",
            "deadlock detected",
        ),
        ("2026-01-31 08:00:00.123 UTC [77] @ LOG:  checkpoint starting", "INFO", "checkpoint starting"),
        ('{"t":{"$date":"2026-01-31T08:00:00.123+00:00"},"s":"W","c":"REPL","msg":"Slow"}', "WARNING", "Slow"),
        ("2026-01-31 08:00:00 souk: nats was unhealthy", "WARNING", "nats was unhealthy"),
    ],
)
def test_lines_of_every_server_are_parsed(text: str, level: str, message: str) -> None:
    line = parse_line("server", text)
    assert (line.level, line.message) == (level, message)
    assert line.time is not None


@pytest.mark.parametrize("text", ["plain text", "{not json", '{"a": 1}', '{"t": 1, "msg": "x"}', "[]"])
def test_unknown_lines_are_shown_unchanged(text: str) -> None:
    assert parse_line("order", text).message == text


def test_a_line_without_a_time_continues_the_one_before() -> None:
    first, second = parse_lines("order", [ORDER_LINES[1], "  File x.py"])
    assert (second.time, second.level, second.fields["request_id"]) == (first.time, "WARNING", "r-1")


def test_ages_and_times_are_parsed() -> None:
    now = datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert parse_since("90m", now) == now - timedelta(minutes=90)
    assert parse_since("2d", now) == now - timedelta(days=2)
    assert parse_since("2026-01-31", now) == datetime(2026, 1, 31, tzinfo=UTC)
    assert parse_since("2026-01-31T09:00:00+02:00", now) == datetime(2026, 1, 31, 7, tzinfo=UTC)
    assert parse_since("", now) is None


def test_following_yields_whole_lines_and_survives_rotation(data_dir: DataDir) -> None:
    log = data_dir.log_file("cart")
    log.write_text("old\n")
    lines = follow_logs([log])

    def write(mode: str, text: str) -> Iterator[None]:
        with log.open(mode) as file:
            file.write(text)
        yield

    started = threading.Timer(0.05, lambda: next(write("a", "half a line and its end\nnext ")))
    started.start()
    assert next(lines) == (log, "half a line and its end")
    started.join()
    next(write("w", "new\n"))
    assert next(lines) == (log, "new")
