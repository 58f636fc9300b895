"""The table of processes that `souk up` and `souk status` show."""

import time
from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.state_file import ProcessState, StackState

STATE_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ready": "green",
        "starting": "yellow",
        "restarting": "bold red",
        "stopping": "yellow",
        "failed": "bold red",
    }
)
URL_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "shop": "Shop",
        "docs": "API docs",
        "mail": "Mail",
        "nats": "NATS",
        "monitoring": "NATS monitoring",
    }
)
NUMERIC_COLUMNS = {"Port", "Pid", "Restarts", "Up"}
URL_HINTS: Mapping[str, str] = MappingProxyType({"mail": "souk mail"})


def render_status(state: StackState) -> RenderableType:
    """Returns the table and, once all is ready, the URLs below it."""
    parts: list[RenderableType] = [process_table(state)]
    if state.ready:
        parts += [Text(line) for line in url_lines(state)]
    return Group(*parts)


def process_table(state: StackState) -> Table:
    """Returns the table of processes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "State", "Port", "Pid", "Restarts", "Up", "From"):
        table.add_column(title, justify="right" if title in NUMERIC_COLUMNS else "left", no_wrap=True)
    for process in state.processes:
        table.add_row(*_row(process))
    return table


def _row(process: ProcessState) -> tuple[str | Text, ...]:
    return (
        process.name,
        Text(process.state, style=STATE_COLOURS.get(process.state, "dim")),
        process.address.replace(f"{LOOPBACK}:", ""),
        str(process.pid or ""),
        str(process.restarts or ""),
        format_duration(time.time() - process.since) if process.state == "ready" else "",
        Text(process.origin, style="dim"),
    )


def url_lines(state: StackState) -> list[str]:
    """Returns one line for each URL of the shop."""
    return [
        f"{URL_LABELS[key]:>16}  {url}" + (f"   ({URL_HINTS[key]})" if key in URL_HINTS else "")
        for key, url in state.urls.items()
    ]


def format_duration(seconds: float) -> str:
    """Formats seconds as `42s`, `3m 07s` or `5h 12m`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
