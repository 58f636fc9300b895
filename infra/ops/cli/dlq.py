"""`souk dlq`: lists, shows, replays and drops dead letters."""

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
from infra.messaging.redelivery_client import RedeliveryClient
from infra.messaging.replay import describe_failure
from infra.ops.cli.operator_connection import operator_client
from infra.ops.cli.options import PLAIN, WIDE, DataOption, JsonOption
from infra.ops.devstack.errors import StackError

dlq = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings=WIDE,
    **PLAIN,
    help="List, show, replay or drop dead letters: events that a service could not handle. They are kept for 90 days. "
    "Fix the cause, then replay them.\n\nExample: souk dlq list --service order",
)

ServiceOption = Annotated[str, typer.Option("--service", metavar="NAME", help="Only dead letters of this service.")]
Numbers = Annotated[list[int], typer.Argument(help="Numbers from `souk dlq list`.", min=1, show_default=False)]
OptionalNumbers = Annotated[
    list[int] | None, typer.Argument(help="Numbers from `souk dlq list`.", min=1, show_default=False)
]


@dlq.command("list")
def list_(
    data: DataOption = None,
    *,
    service: ServiceOption = "",
    limit: Annotated[int, typer.Option(help="At most so many, oldest first.", min=1)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List dead letters with the reason why each was not handled.

    Example: souk dlq list --service order --json
    """
    _check_service(service)
    dead_letters, count = asyncio.run(_list_letters(data, service, limit))
    if as_json:
        typer.echo(json.dumps([_letter_to_json(dead_letter) for dead_letter in dead_letters], indent=2))
        return
    console = Console(highlight=False)
    if not dead_letters:
        console.print("There are no dead letters." if not service else f"There are no dead letters of {service}.")
        return
    console.print(_letter_table(dead_letters))
    if count > len(dead_letters):
        console.print(f"... and {count - len(dead_letters)} more. Show them with a larger --limit.")


@dlq.command()
def show(
    seq: Annotated[int, typer.Argument(help="A number from `souk dlq list`.", min=1)], data: DataOption = None
) -> None:
    """Show one dead letter: reason, headers, trace id and body.

    Example: souk dlq show 17
    """
    dead_letter = asyncio.run(_get_letter(data, seq))
    console = Console(highlight=False)
    event_type = dead_letter.event_type or "an unknown event"
    console.print(f"Dead letter {dead_letter.seq}: {dead_letter.service} could not handle {event_type}.")
    console.print(f"{dead_letter.reason}\n", style="red", markup=False, soft_wrap=True)
    for name, value in sorted(dead_letter.headers.items()):
        console.print(f"{name}: {value}", style="dim", markup=False, soft_wrap=True)
    if dead_letter.trace_id:
        console.print(f"\nTrace id: {dead_letter.trace_id}, also in the services' logs.", soft_wrap=True)
    console.print(f"\n{_format_body(dead_letter)}", markup=False, soft_wrap=True)


@dlq.command()
def replay(
    seqs: OptionalNumbers = None,
    data: DataOption = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Replay all dead letters.")] = False,
    service: ServiceOption = "",
) -> None:
    """Deliver dead letters to their services again. A letter that is handled now is removed, others stay.

    An event has its effect once, however often it is replayed. Exit code 1: a letter stays.

    Example: souk dlq replay --service order
    """
    _check_service(service)
    if bool(seqs) == (every or bool(service)):
        raise StackError("Choose the letters: give their numbers, or --all, or --service for all of one service.")
    left = asyncio.run(_replay(data, seqs or [], service, Console(highlight=False)))
    if left:
        raise typer.Exit(1)


@dlq.command()
def drop(
    seqs: Numbers, data: DataOption = None, *, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Remove dead letters without handling them. Their events never take effect, which `souk verify` may report.

    Example: souk dlq drop 17 --yes
    """
    if not yes:
        typer.confirm(f"Remove {len(seqs)} dead letter{'s' * (len(seqs) != 1)} for good?", abort=True)
    missing = asyncio.run(_drop(data, seqs))
    if missing:
        raise StackError(f"There is no dead letter {', '.join(map(str, missing))}. Find them with `souk dlq list`.")
    Console(highlight=False).print(f"{len(seqs)} removed.")


def _check_service(service: str) -> None:
    if service and service not in REDELIVER:
        raise StackError(f"No service {service!r} subscribes to events. Choose one of {', '.join(REDELIVER)}.")


@asynccontextmanager
async def _dead_letter_queue(data: Path | None) -> AsyncIterator[tuple[DeadLetterQueue, RedeliveryClient]]:
    async with operator_client(data) as client:
        yield DeadLetterQueue(client.jetstream()), RedeliveryClient(client)


async def _list_letters(data: Path | None, service: str, limit: int) -> tuple[list[DeadLetter], int]:
    found: list[DeadLetter] = []
    async with _dead_letter_queue(data) as (queue, _):
        async for dead_letter in queue.iterate(service):
            found.append(dead_letter)
            if len(found) == limit:
                break
        return found, await queue.count(service)


async def _get_letter(data: Path | None, seq: int) -> DeadLetter:
    async with _dead_letter_queue(data) as (queue, _):
        dead_letter = await queue.get(seq)
    if dead_letter is None:
        raise _not_found(seq)
    return dead_letter


async def _replay(data: Path | None, seqs: list[int], service: str, console: Console) -> int:
    """Returns how many letters stay."""
    handled = left = 0
    async with _dead_letter_queue(data) as (queue, redelivery):
        async for dead_letter in _select_letters(queue, seqs, service):
            if await _replay_letter(dead_letter, queue, redelivery, console):
                handled += 1
            else:
                left += 1
    console.print(f"{handled} handled and removed" + (f", {left} not handled." if left else "."))
    if left:
        console.print("Fix the causes listed above, then replay again.")
    return left


async def _select_letters(queue: DeadLetterQueue, seqs: list[int], service: str) -> AsyncIterator[DeadLetter]:
    if not seqs:
        async for dead_letter in queue.iterate(service):
            yield dead_letter
    for seq in seqs:
        found = await queue.get(seq)
        if found is None:
            raise _not_found(seq)
        yield found


async def _replay_letter(
    dead_letter: DeadLetter, queue: DeadLetterQueue, redelivery: RedeliveryClient, console: Console
) -> bool:
    """Removes a letter after the service has handled it. If this dies in between, the service recognises the event."""
    try:
        if dead_letter.service not in REDELIVER:
            raise ValueError(f"no service {dead_letter.service} subscribes to events")  # noqa: TRY301 - printed as below
        outcome = await redelivery.redeliver(dead_letter.service, dead_letter.to_redelivery())
    except (Fail, ValueError) as error:
        reason = describe_failure(error) if isinstance(error, Fail) else str(error)
        console.print(
            f"{dead_letter.seq}  {dead_letter.service}  {dead_letter.event_type}  stays: {reason}",
            style="red",
            markup=False,
            soft_wrap=True,
        )
        return False
    await queue.delete(dead_letter.seq)
    console.print(
        f"{dead_letter.seq}  {dead_letter.service}  {dead_letter.event_type}  {outcome}", markup=False, soft_wrap=True
    )
    return True


async def _drop(data: Path | None, seqs: list[int]) -> list[int]:
    """Returns the numbers that do not exist."""
    async with _dead_letter_queue(data) as (queue, _):
        return [seq for seq in seqs if not await queue.delete(seq)]


def _not_found(seq: int) -> StackError:
    return StackError(f"There is no dead letter {seq}. Find the numbers with `souk dlq list`.")


def _letter_to_json(dead_letter: DeadLetter) -> dict[str, object]:
    return {
        "seq": dead_letter.seq,
        "kept_at": dead_letter.stored_at.isoformat() if dead_letter.stored_at else None,
        "service": dead_letter.service,
        "type": dead_letter.event_type,
        "aggregate_id": dead_letter.aggregate_id,
        "reason": dead_letter.reason,
        "deliveries": dead_letter.deliveries,
        "trace_id": dead_letter.trace_id,
        "headers": dead_letter.headers,
        "body": dead_letter.body.decode(errors="replace"),
    }


def _letter_table(dead_letters: list[DeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("No", "When", "Service", "Event", "About", "Tries", "Why"):
        table.add_column(title, justify="right" if title in {"No", "Tries"} else "left", no_wrap=title != "Why")
    for dead_letter in dead_letters:
        when = f"{dead_letter.stored_at.astimezone():%d %b %H:%M:%S}" if dead_letter.stored_at else ""
        kind = dead_letter.event_type.removeprefix("souk.") or "?"
        row = (
            when,
            dead_letter.service,
            kind,
            dead_letter.aggregate_id[-12:],
            dead_letter.deliveries,
            dead_letter.reason,
        )
        table.add_row(str(dead_letter.seq), *map(Text, row))
    return table


def _format_body(dead_letter: DeadLetter) -> str:
    try:
        return json.dumps(json.loads(dead_letter.body), indent=2, ensure_ascii=False)
    except ValueError:
        return dead_letter.body.decode(errors="replace")
