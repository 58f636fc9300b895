"""`souk up`: runs the whole shop in the foreground until Ctrl-C or SIGTERM."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Annotated, Any

import aiohttp
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from infra.ops.cli.options import DataOption
from infra.ops.cli.seed import seed_on_first_start
from infra.ops.cli.status_table import render_status, url_lines
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings, load_settings
from infra.ops.devstack.state_file import StackState

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _port(text: str) -> Any:  # Any: an option, whose class Typer keeps private
    return typer.Option(metavar="PORT", help=text)


PortOption = int | None


def up(
    *,
    data: DataOption = None,
    http_port: Annotated[PortOption, _port("Port of the shop (SOUK_HTTP_PORT, 8080).")] = None,
    nats_port: Annotated[PortOption, _port("First port of NATS (SOUK_NATS_PORT, 4222).")] = None,
    nats_monitor_port: Annotated[
        PortOption, _port("First port of NATS monitoring (SOUK_NATS_MONITOR_PORT, 8222).")
    ] = None,
    nats_route_port: Annotated[PortOption, _port("First port between NATS nodes (SOUK_NATS_ROUTE_PORT, 6222).")] = None,
    postgres_port: Annotated[PortOption, _port("Port of PostgreSQL (SOUK_POSTGRES_PORT, 15432).")] = None,
    mongo_port: Annotated[PortOption, _port("Port of MongoDB (SOUK_MONGO_PORT, 17017).")] = None,
    smtp_port: Annotated[PortOption, _port("Port of the SMTP sink (SOUK_SMTP_PORT, 10025).")] = None,
    edge_port: Annotated[PortOption, _port("First port of the edges (SOUK_EDGE_PORT, 8081).")] = None,
    ops_port: Annotated[PortOption, _port("First port of health checks and metrics (SOUK_OPS_PORT, 9101).")] = None,
    nats_nodes: Annotated[
        int | None, typer.Option(help="NATS servers: 1, 3 or 5. Each stores every event (SOUK_NATS_NODES, 1).")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Processes of each service (SOUK_PROCESSES, 1).")] = None,
    edge_processes: Annotated[int | None, typer.Option(help="Processes of the edge (SOUK_EDGE_PROCESSES, 1).")] = None,
    nginx_limits: Annotated[
        bool | None,
        typer.Option("--limits/--no-limits", help="Rate limits, also of guests' orders (SOUK_NGINX_LIMITS, on)."),
    ] = None,
    seed: Annotated[
        bool | None, typer.Option("--seed/--no-seed", help="Load the demo catalog on the first start (SOUK_SEED, on).")
    ] = None,
) -> None:
    """Start the whole shop and keep it running until Ctrl-C.

    The variables in parentheses set the same options, in the environment or in .env. Port 0 picks a free port.

    Example: souk up --http-port 8000 --processes 2
    """
    overrides = {name: value for name, value in locals().items() if value is not None}
    asyncio.run(run_stack(load_settings(overrides), Console(highlight=False)))


async def run_stack(settings: StackSettings, console: Console) -> None:
    """Runs the stack until a signal. Raises a `StackError` that explains why the shop cannot start."""
    display = _ProgressDisplay(console)
    stack = Stack(settings, on_change=lambda: display.update(stack.state()))
    serving = asyncio.create_task(_serve(stack, display))
    for which in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(which, _stop_handler(serving.cancel, display))
    with display.live(stack.state), suppress(asyncio.CancelledError):
        await serving
    display.print("Souk has stopped.")


async def _serve(stack: Stack, display: "_ProgressDisplay") -> None:
    started = time.monotonic()
    async with stack.running():
        if stack.notice:
            display.print(stack.notice)
        display.print(f"Souk is ready after {time.monotonic() - started:.1f} s. Ctrl-C stops it.")
        display.print_urls(stack.state())
        loading = await _bootstrap(stack, display) if {"services", "edge"} <= stack.settings.parts else None
        await asyncio.Event().wait()
        del loading  # the reference keeps the task alive until here


async def _bootstrap(stack: Stack, display: "_ProgressDisplay") -> asyncio.Task[None] | None:
    """Creates the administrator and loads the demo catalog. A failure is printed: the shop works without a catalog."""
    try:
        return await seed_on_first_start(stack, with_catalog=stack.settings.seed)
    except (StackError, aiohttp.ClientError, TimeoutError) as error:
        display.print(f"The demo catalog is not complete ({error}). Complete it with `souk seed`.")
        return None


def _stop_handler(stop: Callable[[], object], display: "_ProgressDisplay") -> Callable[[], None]:
    """Returns a signal handler that stops the shop once. Further signals do not interrupt the orderly stop."""
    is_stopping = False

    def handler() -> None:
        nonlocal is_stopping
        if is_stopping:
            display.print("Still stopping.")
            return
        is_stopping = True
        display.print("Stopping. Work in progress is finished first.")
        stop()

    return handler


class _ProgressDisplay:
    """Shows a live table on a terminal, and plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def live(self, state: Callable[[], StackState]) -> AbstractContextManager[object]:
        """Shows a live table while the context is open, on a terminal only."""
        if not self._console.is_terminal:
            return nullcontext()

        def render() -> RenderableType:
            return render_status(state())

        return Live(console=self._console, get_renderable=render, refresh_per_second=4)

    def print(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def update(self, state: StackState) -> None:
        """Prints the processes whose state has changed, unless the live table shows them."""
        if self._console.is_terminal:
            return
        for process in state.processes:
            if self._states.get(process.name) != process.state:
                self._states[process.name] = process.state
                pid = f" (pid {process.pid})" if process.pid else ""
                self.print(f"{process.name:14} {process.state:10} {process.address}{pid}")

    def print_urls(self, state: StackState) -> None:
        """Prints the URLs, unless the live table shows them."""
        if not self._console.is_terminal:
            for line in url_lines(state):
                self.print(line)
