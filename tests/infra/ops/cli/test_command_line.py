"""The `souk` command as a program: start time, help, aliases, signals and closed pipes."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.ops.cli.commands import COMMANDS, app, load_command
from infra.ops.devstack.data_dir import open_data_dir

SOUK = [sys.executable, "-m", "infra.ops.cli.app"]
LISTED = [name for name, entry in COMMANDS.items() if not entry.is_alias]
SUBCOMMANDS = [["dlq", "list"], ["dlq", "show"], ["dlq", "replay"], ["dlq", "drop"], ["keys", "rotate"]]


def help_of(*command: str, columns: int = 80) -> str:
    result = CliRunner().invoke(app, [*command, "--help"], terminal_width=columns, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_version_is_printed_fast() -> None:
    """In less than 0.4 s of processor time, which other processes on the machine do not change."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*SOUK, "--version"], capture_output=True, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == f"souk {metadata.version('souk')}\n"
    assert (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime) < 0.4


def test_help_lists_every_command_but_no_alias() -> None:
    shown = help_of()
    for name, entry in COMMANDS.items():
        assert (f"\n  {name} " in shown) is not entry.is_alias


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded(name: str) -> None:
    assert load_command(name).help


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize("command", [*([name] for name in LISTED), *SUBCOMMANDS], ids=" ".join)
def test_help_has_an_example_and_fits_the_terminal(command: list[str], columns: int) -> None:
    shown = help_of(*command, columns=columns)
    assert "Example: " in shown
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown, "no name is cut off"
    assert max(map(len, shown.splitlines())) <= columns


def test_an_unknown_command_suggests_a_known_one() -> None:
    assert "Did you mean 'logs'?" in CliRunner().invoke(app, ["lgos"]).output


async def test_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    log = open_data_dir(tmp_path / "souk").log_file("order")
    log.write_text("a line of a log\n" * 50_000)
    command = f"{sys.executable} -m infra.ops.cli.app logs -n 50000 --data {tmp_path / 'souk'} | head -n 1"
    process = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert (output, errors) == (b"a line of a log\n", b"")


@pytest.mark.parametrize("module", ["typer", "infra.ops.cli.commands", "aiohttp", "infra.ops.cli.import_products"])
async def test_ctrl_c_while_the_command_is_loading_prints_no_traceback(tmp_path: Path, module: str) -> None:
    """The signal is sent as soon as Python reports the import of a module.

    `env` makes it end the command again: a shell that starts the tests in the background has it ignored.
    """
    os.mkfifo(tmp_path / "products.csv")  # reading it blocks, so the command is still running when the signal comes
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT", sys.executable, "-v", *SOUK[1:], "import", str(tmp_path / "products.csv")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout
    async for line in process.stdout:
        if line.startswith(f"import '{module}'".encode()):
            break
    process.send_signal(signal.SIGINT)
    output, _ = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in output
