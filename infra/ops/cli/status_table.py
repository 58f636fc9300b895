"""How a stack looks: the table of `souk up` and `souk status`."""

import time
from collections.abc import Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.state_file import ProcessState, StackState

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ready": "green",
        "starting": "yellow",
        "restarting": "bold red",
        "stopping": "yellow",
        "failed": "bold red",
    }
)
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "shop": "Shop",
        "docs": "API docs",
        "mail": "Mail",
        "nats": "NATS",
        "monitoring": "NATS monitoring",
    }
)
NUMBERS = {"Port", "Pid", "Restarts", "Up"}
HINTS: Mapping[str, str] = MappingProxyType({"mail": "souk mail"})


def view(state: StackState) -> RenderableType:
    """The table, and below it where to go once all is ready."""
    parts: list[RenderableType] = [table(state)]
    if state.ready:
        parts += [Text(line) for line in places(state)]
    return Group(*parts)


def table(state: StackState) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "State", "Port", "Pid", "Restarts", "Up", "From"):
        drawn.add_column(title, justify="right" if title in NUMBERS else "left", no_wrap=True)
    for process in state.processes:
        drawn.add_row(*_row(process))
    return drawn


def _row(process: ProcessState) -> tuple[str | Text, ...]:
    return (
        process.name,
        Text(process.state, style=COLOURS.get(process.state, "dim")),
        process.address.replace(f"{LOOPBACK}:", ""),
        str(process.pid or ""),
        str(process.restarts or ""),
        age(time.time() - process.since) if process.state == "ready" else "",
        Text(process.origin, style="dim"),
    )


def places(state: StackState) -> list[str]:
    """A line an address."""
    return [
        f"{LABELS[key]:>16}  {url}" + (f"   ({HINTS[key]})" if key in HINTS else "") for key, url in state.urls.items()
    ]


def age(seconds: float) -> str:
    """`42s`, `3m 07s`, `5h 12m`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"
