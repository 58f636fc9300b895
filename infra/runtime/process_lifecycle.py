"""The lifecycle of a process, shared by the edge and the services: settings, signals, shutdown and exit code."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, TypeVar

import uvloop

from infra.foundation import failpoints
from infra.foundation.settings import Settings, load_settings
from infra.foundation.telemetry import Metrics, configure_logging, get_logger
from infra.messaging.connection import ConnectionMonitor

SettingsT = TypeVar("SettingsT", bound=Settings)

GC_THRESHOLD = 20_000
"""New objects between two runs of the garbage collector."""

log = get_logger("souk.lifecycle")


def run_process(
    name: str,
    settings_class: type[SettingsT],
    serve: Callable[[SettingsT, ConnectionMonitor], AbstractAsyncContextManager[int | None]],
) -> NoReturn:
    """Runs a process until SIGTERM or SIGINT and exits with 0, or with 1 if NATS has closed the connection for good.

    The process works while the context of `serve(settings, monitor)` is open; the context yields the HTTP port, if any.
    """
    settings = prepare_process(name, settings_class)
    raise SystemExit(uvloop.run(_run_until_stopped(settings, serve)))


def prepare_process(name: str, settings_class: type[SettingsT]) -> SettingsT:
    """Reads the settings, and configures logging, failpoints and the priority of the process.

    Garbage collection begins here, without what the imports have made: that stays.
    """
    gc.freeze()
    gc.enable()
    settings = load_settings(settings_class)
    configure_logging(name, settings.log_level)
    failpoints.enable(settings.crash_folder)
    os.nice(settings.niceness)
    return settings


async def _run_until_stopped(
    settings: SettingsT, serve: Callable[[SettingsT, ConnectionMonitor], AbstractAsyncContextManager[int | None]]
) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    monitor = ConnectionMonitor(Metrics())
    async with serve(settings, monitor) as port:
        report_ready(port)
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(monitor.closed.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        log.info("stopping")
    return 0 if stop.is_set() else 1


def report_ready(port: int | None = None) -> None:
    """Logs that the process is ready, after tuning the garbage collector for its steady state."""
    tune_gc()
    listening = {} if port is None else {"port": port}
    log.info("ready", pid=os.getpid(), **listening)


def tune_gc() -> None:
    """Excludes the objects made at the start from garbage collection, and collects less often.

    A service makes many short-lived objects and few cycles. With Python's defaults, looking for cycles took a seventh
    of all CPU time in a profile of the shop under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
