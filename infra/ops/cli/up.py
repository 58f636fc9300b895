"""`souk up`: the whole shop in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from pydantic import ValidationError
from rich.console import Console, RenderableType
from rich.live import Live

from infra.ops.cli.status_table import places, view
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from infra.ops.devstack.state_file import StackState

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    *,
    data: Annotated[Path | None, typer.Option(help="Where everything is kept (SOUK_DATA; .souk).")] = None,
    http_port: Annotated[int | None, typer.Option(help="Of the shop (SOUK_HTTP_PORT; 8080); 0 is a free one.")] = None,
    nats_port: Annotated[int | None, typer.Option(help="SOUK_NATS_PORT; 4222.")] = None,
    nats_monitor_port: Annotated[int | None, typer.Option(help="SOUK_NATS_MONITOR_PORT; 8222.")] = None,
    nats_route_port: Annotated[
        int | None, typer.Option(help="Between NATS nodes (SOUK_NATS_ROUTE_PORT; 6222).")
    ] = None,
    postgres_port: Annotated[int | None, typer.Option(help="SOUK_POSTGRES_PORT; 15432.")] = None,
    mongo_port: Annotated[int | None, typer.Option(help="SOUK_MONGO_PORT; 17017.")] = None,
    smtp_port: Annotated[int | None, typer.Option(help="SOUK_SMTP_PORT; 10025.")] = None,
    edge_port: Annotated[int | None, typer.Option(help="Of the first edge (SOUK_EDGE_PORT; 8081).")] = None,
    ops_port: Annotated[int | None, typer.Option(help="Of the first process's health (SOUK_OPS_PORT; 9101).")] = None,
    nats_nodes: Annotated[
        int | None, typer.Option(help="1, 3 or 5 NATS servers; every event is kept on each (SOUK_NATS_NODES; 1).")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Of each service (SOUK_PROCESSES; 1).")] = None,
    edge_processes: Annotated[int | None, typer.Option(help="SOUK_EDGE_PROCESSES; 1.")] = None,
    nginx_limits: Annotated[
        bool | None,
        typer.Option("--limits/--no-limits", help="Rate limits, in Nginx and the edges (SOUK_NGINX_LIMITS)."),
    ] = None,
    seed: Annotated[
        bool | None, typer.Option("--seed/--no-seed", help="Demo catalogue on the first start (SOUK_SEED; on).")
    ] = None,
) -> None:
    """Start the whole shop and stay with it; Ctrl-C stops it."""
    given = {name: value for name, value in locals().items() if value is not None}
    asyncio.run(run(options_of(given), Console(highlight=False)))


def options_of(given: dict[str, object]) -> Options:
    """The options, or the plain words for one that makes no sense."""
    try:
        return Options.model_validate(given) if not given else Options(**given)  # type: ignore[arg-type]  # checked by the model
    except ValidationError as error:
        first = error.errors()[0]
        name = "SOUK_" + "_".join(map(str, first["loc"])).upper()
        raise StackError(f"{name} makes no sense: {first['msg']}.") from None


async def run(options: Options, console: Console) -> None:
    """Returns when everything has ended; a `StackError` says in plain words why it could not start."""
    shown = _Shown(console)
    stack = Stack(options, changed=lambda: shown.changed(stack.state()))
    begun = time.monotonic()
    serving = asyncio.create_task(_serve(stack, shown, begun))
    for which in ENDING:
        asyncio.get_running_loop().add_signal_handler(which, _once(serving.cancel, shown))
    with shown.live(stack.state), suppress(asyncio.CancelledError):
        await serving
    shown.say("Souk has stopped.")


async def _serve(stack: Stack, shown: "_Shown", begun: float) -> None:
    async with stack.running():
        if stack.notice:
            shown.say(stack.notice)
        shown.say(f"Souk is ready after {time.monotonic() - begun:.1f} s; Ctrl-C stops it.")
        shown.ready(stack.state())
        pictures = await _furnish(stack, shown) if {"services", "edge"} <= stack.options.parts else None
        await asyncio.Event().wait()
        del pictures  # held until here, so that the task goes on


async def _furnish(stack: Stack, shown: "_Shown") -> asyncio.Task[None] | None:
    """The administrator's account and the demo catalogue. A shop without its catalogue is a shop nevertheless."""
    from infra.ops.cli.seed import seed_if_new  # noqa: PLC0415 - it draws pictures, which is needed only once

    try:
        return await seed_if_new(stack, catalogue=stack.options.seed)
    except (StackError, aiohttp.ClientError, TimeoutError) as error:
        shown.say(f"The demo catalogue is not complete ({error}). Try again with `souk seed`.")
        return None


def _once(act: Callable[[], object], shown: "_Shown") -> Callable[[], None]:
    """The first signal ends the shop; impatience does not make it end worse."""
    asked: list[float] = []

    def handler() -> None:
        shown.say("Stopping; what is under way is finished first." if not asked else "Still stopping.")
        if not asked:
            act()
        asked.append(time.monotonic())

    return handler


class _Shown:
    """A live table on a terminal, plain lines anywhere else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def live(self, state: Callable[[], StackState]) -> AbstractContextManager[object]:
        if not self._console.is_terminal:
            return nullcontext()

        def drawn() -> RenderableType:
            return view(state())

        return Live(console=self._console, get_renderable=drawn, refresh_per_second=4)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def changed(self, state: StackState) -> None:
        if self._console.is_terminal:
            return
        for process in state.processes:
            if self._states.get(process.name) != process.state:
                self._states[process.name] = process.state
                pid = f" (pid {process.pid})" if process.pid else ""
                self.say(f"{process.name:14} {process.state:10} {process.address}{pid}")

    def ready(self, state: StackState) -> None:
        if not self._console.is_terminal:
            for line in places(state):
                self.say(line)
