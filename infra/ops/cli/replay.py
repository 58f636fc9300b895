"""`souk replay`: what a service hears, read again from the streams and handed over to it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from contracts.redelivery import RedeliveryOutcome
from contracts.registry import REDELIVER
from infra.messaging.replay import Replay, ReplayInterrupted, ReplayStats, TimeRange
from infra.messaging.topology import Consumer, consumers_for
from infra.ops.cli.operator_connection import operating
from infra.ops.devstack.errors import StackError

MOST_SHOWN = 50
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"]

Moment = Annotated[
    datetime | None, typer.Option(formats=FORMATS, metavar="TIME", help="As 2026-01-31 or 2026-01-31T08:00:00Z; UTC.")
]


def replay(
    service: Annotated[str, typer.Option(help="Who is to hear the events.", show_default=False)],
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    *,
    since: Moment = None,
    until: Moment = None,
    stream: Annotated[str, typer.Option(help="Only from this stream, e.g. ORDER.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the events.")] = False,
) -> None:
    """Bring a service up to what the streams tell, for instance after a backup of yesterday was put back.

    The service hears each event of the last 90 days, or since a moment, once more. What it knows it does not do again;
    what it has lost has its effect once. It goes on serving meanwhile. Exit code 1 when an event was refused.

    That is also how state made from events is rebuilt: the mails of notification, the attempts of payment, the sales of
    held stock in catalog, the steps of orders and what has left a cart. Search and the prices marked in a cart need
    none: they are made from the products themselves, when those are written or the cart is read.
    """
    consumers = _consumers(service, stream)
    console = Console(highlight=False)
    try:
        tally = asyncio.run(
            _replay(service, consumers, TimeRange(_utc(since), _utc(until)), data, console, dry=dry_run)
        )
    except ReplayInterrupted as error:
        raise StackError(f"The replay was cut short: {error}.") from error
    if dry_run:
        console.print(f"{service} would hear {tally.read} events.")
        return
    _show(tally, service, console)
    if tally.rejected:
        raise typer.Exit(1)


def _consumers(service: str, stream: str) -> list[Consumer]:
    if service not in REDELIVER:
        raise StackError(f"No service that hears events is called {service!r}; there are {', '.join(REDELIVER)}.")
    consumers = consumers_for(service)
    chosen = [consumer for consumer in consumers if stream.upper() in {"", consumer.stream}]
    if not chosen:
        known = ", ".join(consumer.stream for consumer in consumers)
        raise StackError(f"{service} hears nothing of a stream {stream.upper()}; it hears {known}.")
    return chosen


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _replay(
    service: str, consumers: list[Consumer], span: TimeRange, data: Path | None, console: Console, *, dry: bool
) -> ReplayStats:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with operating(data) as client:
        job = Replay(client, service, span, dry_run=dry)
        with Progress(*columns, console=console, transient=True) as progress:
            for consumer in consumers:
                bar = progress.add_task(consumer.stream, total=await job.count_events(consumer))
                await job.replay_stream(consumer, lambda count, bar=bar: progress.advance(bar, count))  # type: ignore[misc]
            await job.retry_deferred()
    return job.stats


def _show(tally: ReplayStats, service: str, console: Console) -> None:
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Events", *(outcome.capitalize() for outcome in RedeliveryOutcome), "Refused"):
        counts.add_column(title, justify="right")
    counts.add_row(str(tally.read), *(str(tally.outcomes[one]) for one in RedeliveryOutcome), str(len(tally.rejected)))
    console.print(f"{service} has heard again what the streams tell:")
    console.print(counts)
    if not tally.rejected:
        return
    console.print(f"\n{len(tally.rejected)} refused; mend the cause and replay again:", style="bold red")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Stream", "No", "Event", "Why"):
        table.add_column(title)
    for one in tally.rejected[:MOST_SHOWN]:
        table.add_row(one.stream, str(one.seq), Text(one.type), Text(one.reason))
    console.print(table)
    if len(tally.rejected) > MOST_SHOWN:
        console.print(f"... and {len(tally.rejected) - MOST_SHOWN} more.")
