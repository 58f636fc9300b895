"""The commands' own words and pictures, without a stack."""

import os
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.ops.cli.app import app
from infra.ops.cli.stack import following
from infra.ops.cli.status_table import age, view
from infra.ops.devstack.data_dir import Layout, open_data_folder
from infra.ops.devstack.smtp_sink import Keeper
from infra.ops.devstack.state_file import ProcessState, StackState, own_start


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("SOUK_DATA", str(tmp_path / "souk"))
    monkeypatch.setenv("COLUMNS", "160")
    return open_data_folder(tmp_path / "souk")


def souk(*command: str) -> str:
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def keep(layout: Layout, to: str, subject: str) -> None:
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    message.set_content(f"Text of {subject}")
    Keeper(layout.mail).keep(bytes(message))


def test_mails_are_listed_and_shown(layout: Layout) -> None:
    keep(layout, "ada@example.com", "Paid")
    keep(layout, "zoe@example.com", "Shipped")
    listed = souk("mail")
    assert "ada@example.com" in listed
    assert "Shipped" in listed
    assert "Shipped" not in souk("mail", "--to", "ada")
    assert "Text of Paid" in souk("mail", "1")
    assert "Subject: Shipped" in souk("mail", "--last")
    assert "Text of Paid" in souk("mail", "--last", "--to", "ada@example.com")


def test_logs_show_the_last_lines_of_each(layout: Layout) -> None:
    layout.log("order-1").write_text("one\ntwo\nthree\n")
    layout.log("nats").write_text("ready\n")
    assert souk("logs", "order", "-n", "2") == "two\nthree\n"
    assert "nats           | ready\n" in souk("logs")


def test_following_gives_whole_lines_and_survives_rotation(layout: Layout) -> None:
    log = layout.log("order")
    log.write_text("old\n")
    coming = following([log])

    def write(mode: str, text: str) -> Iterator[None]:
        with log.open(mode) as file:
            file.write(text)
        yield

    started = threading.Timer(0.05, lambda: next(write("a", "half a line and its end\nnext ")))
    started.start()
    assert next(coming) == (log, "half a line and its end")
    started.join()
    next(write("w", "new\n"))
    assert next(coming) == (log, "new")


def test_the_table_shows_every_process_and_where_to_go() -> None:
    processes = [
        ProcessState(
            name="nats", state="ready", address="127.0.0.1:4222", pid=4711, restarts=3, since=0, origin="wheel"
        ),
        ProcessState(name="order", state="restarting", address="ops 127.0.0.1:9104"),
    ]
    state = StackState(
        pid=os.getpid(), created=own_start(), processes=processes, urls={"shop": "http://127.0.0.1:8080"}
    )

    def drawn() -> str:
        console = Console(width=160, file=None, record=True, quiet=False, force_terminal=False)
        with console.capture() as captured:
            console.print(view(state))
        return captured.get()

    assert "http://127.0.0.1:8080" not in drawn()
    state.ready = True
    for word in ("nats", "4222", "ops 9104", "4711", "3", "restarting", "Shop  http://127.0.0.1:8080"):
        assert word in drawn()


def test_ages_are_short() -> None:
    assert [age(seconds) for seconds in (0, 42, 187, 18_720)] == ["0s", "42s", "3m 07s", "5h 12m"]
