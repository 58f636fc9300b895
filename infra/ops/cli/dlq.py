"""`souk dlq`: the events that could not be handled, and what a person can do about them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.failure import Fail
from contracts.registry import REDELIVER
from infra.messaging.dead_letters import DeadLetter, DeadLetterQueue
from infra.messaging.redelivery import RedeliveryClient
from infra.messaging.replay import describe_failure
from infra.ops.cli.operator_connection import operating
from infra.ops.devstack.errors import StackError

dlq = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look after dead letters: events that a service could not handle. They are kept for 90 days. "
    "`list` and `show` them, mend the cause, then `replay` them, or `drop` those that nobody needs.",
)

Data = Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")]
OfService = Annotated[str, typer.Option("--service", help="Only those of this service.")]
Numbers = Annotated[list[int], typer.Argument(help="Numbers of letters, as `souk dlq list` shows them.", min=1)]
AnyNumbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers of letters, as `souk dlq list` shows them.", min=1)
]


@dlq.command("list")
def list_(
    data: Data = None,
    *,
    service: OfService = "",
    limit: Annotated[int, typer.Option(help="At most so many, the oldest first.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for machines.")] = False,
) -> None:
    """List dead letters, with the reason."""
    _check(service)
    letters, count = asyncio.run(_listed(data, service, limit))
    if as_json:
        typer.echo(json.dumps([_summary(letter) for letter in letters], indent=2))
        return
    console = Console(highlight=False)
    if not letters:
        console.print("There are no dead letters." if not service else f"There are no dead letters of {service}.")
        return
    console.print(_table(letters))
    if count > len(letters):
        console.print(f"... and {count - len(letters)} more; --limit shows more of them.")


@dlq.command()
def show(seq: Annotated[int, typer.Argument(help="The letter's number.", min=1)], data: Data = None) -> None:
    """Show one letter: headers, trace, body."""
    letter = asyncio.run(_one(data, seq))
    console = Console(highlight=False)
    console.print(f"Letter {letter.seq}: {letter.service} could not handle {letter.event_type or 'an unknown event'}.")
    console.print(f"{letter.reason}\n", style="red", markup=False, soft_wrap=True)
    for name, value in sorted(letter.headers.items()):
        console.print(f"{name}: {value}", style="dim", markup=False, soft_wrap=True)
    if letter.trace_id:
        console.print(f"\nIts trace is {letter.trace_id}; the services' logs have lines of it.", soft_wrap=True)
    console.print(f"\n{_body(letter)}", markup=False, soft_wrap=True)


@dlq.command()
def replay(
    seqs: AnyNumbers = None,
    data: Data = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    service: OfService = "",
) -> None:
    """Hand letters to their services once more. One that is heard now is removed, one that is not stays.

    An event has its effect once, however often it is replayed. Exit code 1 when a letter stays.
    """
    _check(service)
    if bool(seqs) == (every or bool(service)):
        raise StackError("Say which: the numbers of letters, or --all, or --service for all of one service.")
    left = asyncio.run(_replay(data, seqs or [], service, Console(highlight=False)))
    if left:
        raise typer.Exit(1)


@dlq.command()
def drop(
    seqs: Numbers, data: Data = None, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove letters without handling them. Their events never have an effect; `souk audit` may miss it."""
    if not yes:
        typer.confirm(f"Remove {len(seqs)} dead letter{'s' * (len(seqs) != 1)} for good?", abort=True)
    missing = asyncio.run(_drop(data, seqs))
    if missing:
        raise StackError(f"There is no letter {', '.join(map(str, missing))}; `souk dlq list` shows those there are.")
    Console(highlight=False).print(f"{len(seqs)} removed.")


def _check(service: str) -> None:
    if service and service not in REDELIVER:
        raise StackError(f"No service that hears events is called {service!r}; there are {', '.join(REDELIVER)}.")


@asynccontextmanager
async def _letters(data: Path | None) -> AsyncIterator[tuple[DeadLetterQueue, RedeliveryClient]]:
    async with operating(data) as client:
        yield DeadLetterQueue(client.jetstream()), RedeliveryClient(client)


async def _listed(data: Path | None, service: str, limit: int) -> tuple[list[DeadLetter], int]:
    found: list[DeadLetter] = []
    async with _letters(data) as (letters, _):
        async for letter in letters.iterate(service):
            found.append(letter)
            if len(found) == limit:
                break
        return found, await letters.count(service)


async def _one(data: Path | None, seq: int) -> DeadLetter:
    async with _letters(data) as (letters, _):
        letter = await letters.get(seq)
    if letter is None:
        raise _none(seq)
    return letter


async def _replay(data: Path | None, seqs: list[int], service: str, console: Console) -> int:
    """How many stay."""
    heard = left = 0
    async with _letters(data) as (letters, handover):
        async for letter in _chosen(letters, seqs, service):
            if await _heard(letter, letters, handover, console):
                heard += 1
            else:
                left += 1
    console.print(f"{heard} heard and removed" + (f", {left} stay." if left else "."))
    if left:
        console.print("Mend what the lines above name, then replay again.")
    return left


async def _chosen(letters: DeadLetterQueue, seqs: list[int], service: str) -> AsyncIterator[DeadLetter]:
    if not seqs:
        async for letter in letters.iterate(service):
            yield letter
    for seq in seqs:
        found = await letters.get(seq)
        if found is None:
            raise _none(seq)
        yield found


async def _heard(letter: DeadLetter, letters: DeadLetterQueue, handover: RedeliveryClient, console: Console) -> bool:
    """Removed only once it is heard: a replay that dies in between finds it again, and the service knows it."""
    try:
        if letter.service not in REDELIVER:
            raise ValueError(f"there is no service {letter.service} that hears events")  # noqa: TRY301 - told as below
        outcome = await handover.redeliver(letter.service, letter.to_redelivery())
    except (Fail, ValueError) as error:
        reason = describe_failure(error) if isinstance(error, Fail) else str(error)
        console.print(
            f"{letter.seq}  {letter.service}  {letter.event_type}  stays: {reason}", style="red", markup=False
        )
        return False
    await letters.delete(letter.seq)
    console.print(f"{letter.seq}  {letter.service}  {letter.event_type}  {outcome}", markup=False)
    return True


async def _drop(data: Path | None, seqs: list[int]) -> list[int]:
    """Those that were not there."""
    async with _letters(data) as (letters, _):
        return [seq for seq in seqs if not await letters.delete(seq)]


def _none(seq: int) -> StackError:
    return StackError(f"There is no letter {seq}; `souk dlq list` shows those there are.")


def _summary(letter: DeadLetter) -> dict[str, object]:
    return {
        "seq": letter.seq,
        "kept_at": letter.stored_at.isoformat() if letter.stored_at else None,
        "service": letter.service,
        "type": letter.event_type,
        "aggregate_id": letter.aggregate_id,
        "reason": letter.reason,
        "deliveries": letter.deliveries,
        "trace_id": letter.trace_id,
        "headers": letter.headers,
        "body": letter.body.decode(errors="replace"),
    }


def _table(letters: list[DeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("No", "When", "Service", "Event", "About", "Tries", "Why"):
        table.add_column(title, justify="right" if title in {"No", "Tries"} else "left", no_wrap=title != "Why")
    for letter in letters:
        when = f"{letter.stored_at.astimezone():%d %b %H:%M:%S}" if letter.stored_at else ""
        kind = letter.event_type.removeprefix("souk.") or "?"
        row = (when, letter.service, kind, letter.aggregate_id[-12:], letter.deliveries, letter.reason)
        table.add_row(str(letter.seq), *map(Text, row))
    return table


def _body(letter: DeadLetter) -> str:
    try:
        return json.dumps(json.loads(letter.body), indent=2, ensure_ascii=False)
    except ValueError:
        return letter.body.decode(errors="replace")
