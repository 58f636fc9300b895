"""`souk down` and `souk status`: commands for a shop that runs in another terminal."""

import os
import signal
from typing import Annotated

import psutil
import typer
from rich.console import Console

from infra.ops.cli.options import DataOption, JsonOption
from infra.ops.cli.running_stack import find_data_dir, require_state
from infra.ops.cli.status_table import render_status
from infra.ops.devstack.data_dir import remove_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.instance_lock import clean_up_leftovers
from infra.ops.devstack.state_file import StackState, read_state, wait_until_gone

STOP_TIMEOUT_SECONDS = 60.0


def down(
    data: DataOption = None,
    *,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the data folder afterwards: every order is lost.")
    ] = False,
) -> None:
    """Stop the shop that runs on the data folder. Its data stays unless --purge is given.

    Example: souk down --purge
    """
    data_dir, console = find_data_dir(data), Console(highlight=False)
    state = read_state(data_dir.state_file)
    if state and state.is_running():
        _stop(state)
        console.print("Souk has stopped.")
    elif notice := clean_up_leftovers(data_dir):
        console.print(notice, soft_wrap=True)
    else:
        console.print(f"Souk does not run on {data_dir.path}.", soft_wrap=True)
    if purge and remove_data_dir(data_dir):
        console.print(f"Removed {data_dir.path}.", soft_wrap=True)


def _stop(state: StackState) -> None:
    supervisor = psutil.Process(state.pid)
    os.kill(state.pid, signal.SIGTERM)
    if wait_until_gone([supervisor], STOP_TIMEOUT_SECONDS):
        raise StackError(
            f"Souk (process {state.pid}) is still stopping after {STOP_TIMEOUT_SECONDS:.0f} s. Check it with "
            f"`souk status`, or end it with `kill -9 {state.pid}`: no acknowledged order is lost."
        )


def status(data: DataOption = None, *, as_json: JsonOption = False) -> None:
    """Show every process of the running shop: state, port, pid, restarts, and where its program comes from.

    Example: souk status --json
    """
    state = require_state(find_data_dir(data))
    if as_json:
        typer.echo(state.model_dump_json(indent=2))
    else:
        Console(highlight=False).print(render_status(state))
