"""Commands about a stack that runs in another terminal: `down`, `status`, `logs`, `mail`."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.table import Table

from infra.ops.cli.status_table import view
from infra.ops.cli.up import options_of
from infra.ops.devstack import data_dir as folder
from infra.ops.devstack.data_dir import Layout, layout_of
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.instance_lock import clean_up
from infra.ops.devstack.mail_files import Mail, mails
from infra.ops.devstack.mail_files import forget as forget_mails
from infra.ops.devstack.mail_files import mail as one_mail
from infra.ops.devstack.state_file import StackState, read_state, until_gone

LONGEST_STOP = 60.0
FOLLOW_EVERY = 0.2

Data = Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")]


def down(
    data: Data = None, *, purge: Annotated[bool, typer.Option(help="Remove the data folder afterwards.")] = False
) -> None:
    """Stop the shop that runs on the data folder."""
    layout, console = _layout(data), Console(highlight=False)
    state = read_state(layout.state)
    if state and state.is_running():
        _stop(state)
        console.print("Souk has stopped.")
    elif left := clean_up(layout):
        console.print(left, soft_wrap=True)
    else:
        console.print(f"Souk does not run on {layout.data}.", soft_wrap=True)
    if purge and folder.purge(layout):
        console.print(f"{layout.data} is removed.", soft_wrap=True)


def _stop(state: StackState) -> None:
    supervisor = psutil.Process(state.pid)
    os.kill(state.pid, signal.SIGTERM)
    if until_gone([supervisor], LONGEST_STOP):
        raise StackError(
            f"Souk (process {state.pid}) has not stopped after {LONGEST_STOP:.0f} s; `souk status` shows what runs. "
            f"`kill -9 {state.pid}` ends it for good: no acknowledged order is lost."
        )


def status(data: Data = None) -> None:
    """Show what runs where."""
    state = _running(_layout(data))
    Console(highlight=False).print(view(state))


def logs(
    name: Annotated[str, typer.Argument(help="A process or a service; all without it.")] = "",
    data: Data = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="So many of each log's last lines.", min=0)] = 20,
) -> None:
    """Show the logs of servers, services and edges."""
    layout = _layout(data)
    found = sorted(layout.logs.glob("*.log"))
    chosen = [path for path in found if not name or path.stem == name or path.stem.rpartition("-")[0] == name]
    if not chosen:
        known = ", ".join(path.stem for path in found)
        raise StackError(f"There is no log of {name or 'anything'} here" + (f"; there are {known}." if known else "."))
    for path in chosen:
        for line in _last(path, lines):
            _print(path, line, alone=len(chosen) == 1)
    if follow:
        try:
            for path, line in following(chosen):
                _print(path, line, alone=len(chosen) == 1)
        except KeyboardInterrupt:
            return


def _print(path: Path, line: str, *, alone: bool) -> None:
    typer.echo(line if alone else f"{path.stem:14} | {line}")


def _last(path: Path, count: int) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-count:] if count else []


def following(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Whole lines as they are written, for ever; a log that was rotated is read from its start."""
    seen = {path: path.stat().st_size for path in paths}
    while True:
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            if size < seen[path]:
                seen[path] = 0
            if size == seen[path]:
                continue
            with path.open("rb") as file:
                file.seek(seen[path])
                text = file.read(size - seen[path])
            whole = text[: text.rfind(b"\n") + 1]
            seen[path] += len(whole)
            yield from ((path, line) for line in whole.decode(errors="replace").splitlines())
        time.sleep(FOLLOW_EVERY)


def mail(
    number: Annotated[int | None, typer.Argument(help="Show this mail; without it, list them.")] = None,
    data: Data = None,
    *,
    last: Annotated[bool, typer.Option("--last", help="Show the newest.")] = False,
    to: Annotated[str, typer.Option(help="Only those to this address.")] = "",
    forget: Annotated[bool, typer.Option("--forget", help="Remove those, as whose mailbox it is.")] = False,
) -> None:
    """List the mails that the shop sent, or show one. The folder stands for the mailboxes of everybody."""
    layout, console = _layout(data), Console(highlight=False)
    if forget:
        if not to:
            raise StackError("Say whose mails: --to ADDRESS.")
        console.print(f"{forget_mails(layout.mail, to=to)} mails to {to} are removed.")
        return
    if number is not None:
        shown = one_mail(layout.mail, number)
        if shown is None:
            raise StackError(f"There is no mail {number}; `souk mail` lists those that are kept.")
        _show(shown, console)
        return
    found = mails(layout.mail, to=to)
    if not found:
        raise StackError("No mail has been sent yet." if not to else f"No mail has been sent to {to}.")
    if last:
        _show(found[-1], console)
    else:
        console.print(_listed(found))


def _listed(found: list[Mail]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("No", "When", "To", "Subject"):
        table.add_column(title, justify="right" if title == "No" else "left")
    for one in found:
        table.add_row(str(one.number), f"{one.kept_at.astimezone():%H:%M:%S}", one.to, one.subject)
    return table


def _show(one: Mail, console: Console) -> None:
    for name, value in one.headers:
        console.print(f"{name}: {value}", style="dim", markup=False, soft_wrap=True)
    console.print()
    console.print(one.text or one.html, markup=False, soft_wrap=True)


def _layout(data: Path | None) -> Layout:
    return layout_of(options_of({"data": data} if data else {}).data)


def _running(layout: Layout) -> StackState:
    state = read_state(layout.state)
    if state is None or not state.is_running():
        raise StackError(f"Souk does not run on {layout.data}. Start it with `souk up`.")
    return state
