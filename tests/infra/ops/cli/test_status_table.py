"""The table of `souk up` and `souk status`, and its JSON."""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.ops.cli.commands import app
from infra.ops.cli.status_table import format_duration, render_status
from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.state_file import ProcessState, StackState, own_create_time, write_state


@pytest.fixture
def state() -> StackState:
    processes = [
        ProcessState(
            name="nats", state="ready", address="127.0.0.1:4222", pid=4711, restarts=3, since=0, origin="wheel"
        ),
        ProcessState(name="order", state="restarting", address="ops 127.0.0.1:9104"),
    ]
    urls = {"shop": "http://127.0.0.1:8080"}
    return StackState(pid=os.getpid(), created=own_create_time(), processes=processes, urls=urls)


def render(state: StackState) -> str:
    console = Console(width=160, file=None, record=True, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(render_status(state))
    return captured.get()


def test_the_status_shows_processes_and_urls(state: StackState) -> None:
    assert "http://127.0.0.1:8080" not in render(state)
    state.ready = True
    for word in ("nats", "4222", "ops 9104", "4711", "3", "restarting", "Shop  http://127.0.0.1:8080"):
        assert word in render(state)


def test_the_status_is_available_as_json(state: StackState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_DATA", str(tmp_path / "souk"))
    data_dir = open_data_dir(tmp_path / "souk")
    with pytest.raises(StackError, match="does not run"):
        CliRunner().invoke(app, ["status", "--json"], catch_exceptions=False)
    write_state(data_dir.state_file, state)
    shown = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert shown["urls"] == {"shop": "http://127.0.0.1:8080"}
    assert [(process["name"], process["state"]) for process in shown["processes"]] == [
        ("nats", "ready"),
        ("order", "restarting"),
    ]


def test_durations_are_formatted() -> None:
    assert [format_duration(seconds) for seconds in (0, 42, 187, 18_720)] == ["0s", "42s", "3m 07s", "5h 12m"]
