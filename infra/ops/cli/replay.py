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

from contracts.redelivery import Outcome
from contracts.registry import HEAR
from infra.messaging.replay import Cut, Replay, Span, Tally
from infra.messaging.topology import Consumer, consumers_of
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
        tally = asyncio.run(_replay(service, consumers, Span(_utc(since), _utc(until)), data, console, dry=dry_run))
    except Cut as error:
        raise StackError(f"The replay was cut short: {error}.") from error
    if dry_run:
        console.print(f"{service} would hear {tally.read} events.")
        return
    _show(tally, service, console)
    if tally.refused:
        raise typer.Exit(1)


def _consumers(service: str, stream: str) -> list[Consumer]:
    if service not in HEAR:
        raise StackError(f"No service that hears events is called {service!r}; there are {', '.join(HEAR)}.")
    consumers = consumers_of(service)
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
    service: str, consumers: list[Consumer], span: Span, data: Path | None, console: Console, *, dry: bool
) -> Tally:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with operating(data) as client:
        job = Replay(client, service, span, dry=dry)
        with Progress(*columns, console=console, transient=True) as progress:
            for consumer in consumers:
                bar = progress.add_task(consumer.stream, total=await job.size(consumer))
                await job.read(consumer, lambda count, bar=bar: progress.advance(bar, count))  # type: ignore[misc]
            await job.finish()
    return job.tally


def _show(tally: Tally, service: str, console: Console) -> None:
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Events", *(outcome.capitalize() for outcome in Outcome), "Refused"):
        counts.add_column(title, justify="right")
    counts.add_row(str(tally.read), *(str(tally.outcomes[one]) for one in Outcome), str(len(tally.refused)))
    console.print(f"{service} has heard again what the streams tell:")
    console.print(counts)
    if not tally.refused:
        return
    console.print(f"\n{len(tally.refused)} refused; mend the cause and replay again:", style="bold red")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Stream", "No", "Event", "Why"):
        table.add_column(title)
    for one in tally.refused[:MOST_SHOWN]:
        table.add_row(one.stream, str(one.seq), Text(one.type), Text(one.reason))
    console.print(table)
    if len(tally.refused) > MOST_SHOWN:
        console.print(f"... and {len(tally.refused) - MOST_SHOWN} more.")
