"""`souk replay`: reads past events from the streams and delivers them to a service again."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from contracts.operator_redelivery import RedeliveryOutcome
from contracts.registry import REDELIVER
from infra.messaging.replay import Replay, ReplayInterrupted, ReplayStats, TimeRange
from infra.messaging.topology import Consumer, consumers_for
from infra.ops.cli.operator_connection import operator_client
from infra.ops.cli.options import DataOption
from infra.ops.devstack.errors import StackError

MAX_EVENTS_SHOWN = 50
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"]

TimeOption = Annotated[
    datetime | None, typer.Option(formats=FORMATS, metavar="TIME", help="2026-01-31 or 2026-01-31T08:00:00Z, in UTC.")
]


def replay(
    service: Annotated[str, typer.Option(metavar="NAME", help="The service that gets the events.", show_default=False)],
    data: DataOption = None,
    *,
    since: TimeOption = None,
    until: TimeOption = None,
    stream: Annotated[str, typer.Option(metavar="NAME", help="Only from this stream, such as ORDER.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
) -> None:
    """Deliver a service's past events to it once more, for example after you have restored yesterday's backup.

    The service gets each event of the last 90 days, or between --since and --until. It ignores events that it has
    handled and applies those that it has lost. It keeps serving meanwhile. Exit code 1: an event was refused.

    This also rebuilds what services derive from events: the mails of notification, the attempts of payment, the sales
    of held stock in catalog, the steps of orders, and the lines that orders removed from carts. Search and the prices
    in carts are not derived from events and need no replay.

    Example: souk replay --service notification --since 2026-01-31
    """
    consumers = _consumers(service, stream)
    console = Console(highlight=False)
    try:
        stats = asyncio.run(
            _replay(service, consumers, TimeRange(_to_utc(since), _to_utc(until)), data, console, dry_run=dry_run)
        )
    except ReplayInterrupted as error:
        raise StackError(f"The replay was interrupted: {error}. Run it again; it is safe to repeat.") from error
    if dry_run:
        console.print(f"{service} would get {stats.read} events.")
        return
    _print_stats(stats, service, console)
    if stats.rejected:
        raise typer.Exit(1)


def _consumers(service: str, stream: str) -> list[Consumer]:
    if service not in REDELIVER:
        raise StackError(f"No service {service!r} subscribes to events. Choose one of {', '.join(REDELIVER)}.")
    consumers = consumers_for(service)
    chosen = [consumer for consumer in consumers if stream.upper() in {"", consumer.stream}]
    if not chosen:
        known = ", ".join(consumer.stream for consumer in consumers)
        raise StackError(f"{service} does not subscribe to the stream {stream.upper()}. Choose one of {known}.")
    return chosen


def _to_utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _replay(
    service: str,
    consumers: list[Consumer],
    time_range: TimeRange,
    data: Path | None,
    console: Console,
    *,
    dry_run: bool,
) -> ReplayStats:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with operator_client(data) as client:
        job = Replay(client, service, time_range, dry_run=dry_run)
        with Progress(*columns, console=console, transient=True) as progress:
            for consumer in consumers:
                bar = progress.add_task(consumer.stream, total=await job.count_events(consumer))
                await job.replay_stream(consumer, lambda count, bar=bar: progress.advance(bar, count))  # type: ignore[misc]
            await job.retry_deferred()
    return job.stats


def _print_stats(stats: ReplayStats, service: str, console: Console) -> None:
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Events", *(outcome.capitalize() for outcome in RedeliveryOutcome), "Refused"):
        counts.add_column(title, justify="right")
    counts.add_row(str(stats.read), *(str(stats.outcomes[one]) for one in RedeliveryOutcome), str(len(stats.rejected)))
    console.print(f"Replayed the events of the streams to {service}:")
    console.print(counts)
    if not stats.rejected:
        return
    console.print(f"\n{len(stats.rejected)} refused. Fix the causes and replay again:", style="bold red")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Stream", "No", "Event", "Why"):
        table.add_column(title)
    for one in stats.rejected[:MAX_EVENTS_SHOWN]:
        table.add_row(one.stream, str(one.seq), Text(one.type), Text(one.reason))
    console.print(table)
    if len(stats.rejected) > MAX_EVENTS_SHOWN:
        console.print(f"... and {len(stats.rejected) - MAX_EVENTS_SHOWN} more.")
