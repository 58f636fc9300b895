"""`souk import FILE`: a product file as a job of the shop, followed to its end."""

import asyncio
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from infra.ops.cli.admin_account import Api, ensure_admin, given_credentials, signed_in
from infra.ops.cli.running_stack import Running
from infra.ops.devstack.errors import StackError

LOOK_EVERY = 0.1
ENDED = frozenset({"done", "failed"})
MOST_FAULTS = 50
COUNTS = ("products", "variants", "created", "updated", "unchanged")


def import_command(
    file: Annotated[Path, typer.Argument(help="A Shopify product CSV.", show_default=False)],
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    url: Annotated[str, typer.Option(help="A shop elsewhere; who its administrator is says the environment.")] = "",
) -> None:
    """Bring the products of a CSV file into the running shop. A second time changes nothing."""
    console = Console(highlight=False)
    content = read(file)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{file.name}, rows", total=rows_of(content))
        job = asyncio.run(_import(content, data, url, lambda rows: progress.update(bar, completed=rows)))
    show(job, file.name, console)
    if job["status"] == "failed":
        raise typer.Exit(1)


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise StackError(f"There is no file {file}.") from None
    except IsADirectoryError:
        raise StackError(f"{file} is a folder; name a CSV file.") from None
    except OSError as error:
        raise StackError(f"{file} cannot be read: {error.strerror}.") from None


def rows_of(content: bytes) -> int | None:
    """How many rows the job will see, for the bar; None for what is no CSV, which the shop will say."""
    try:
        lines = csv.reader(content.decode("utf-8-sig").splitlines(keepends=True))
        return max(sum(1 for row in lines if row) - 1, 0)
    except (UnicodeDecodeError, csv.Error):
        return None


async def _import(content: bytes, data: Path | None, url: str, told: Callable[[int], None]) -> dict[str, Any]:
    if url:
        address, credentials = url, given_credentials()
    else:
        running = Running(data)
        address, credentials = running.http_url, (await ensure_admin(running)).credentials
    async with signed_in(address, credentials) as api:
        return await follow(api, content, told)


async def follow(api: Api, content: bytes, told: Callable[[int], None]) -> dict[str, Any]:
    """Hands the file over and waits for the end of the job; `told` hears how many rows are read."""
    job: dict[str, Any] = await api.send("POST", "/products/import", lambda: content, media="text/csv")
    while job["status"] not in ENDED:
        told(job["rows"])
        await asyncio.sleep(LOOK_EVERY)
        job = await api.get(f"/products/import/{job['id']}")
    told(job["rows"])
    return job


def show(job: dict[str, Any], name: str, console: Console) -> None:
    """What came in, and each row that did not."""
    how = "is in the shop" if job["status"] == "done" else "could not be brought in"
    console.print(f"{name} {how}: {job['rows']} rows read.")
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for count in COUNTS:
        counts.add_column(count.capitalize(), justify="right")
    counts.add_row(*(str(job[count]) for count in COUNTS))
    console.print(counts)
    if job["errors"]:
        _show_faults(job["errors"], console)


def _show_faults(faults: list[dict[str, Any]], console: Console) -> None:
    rows = "row" if len(faults) == 1 else "rows"
    console.print(f"\n{len(faults)} {rows} did not come in:", style="bold red")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    table.add_column("Why")
    for fault in faults[:MOST_FAULTS]:
        table.add_row(str(fault["line"]), Text(fault["detail"]))  # as it is: square brackets in it are no markup
    console.print(table)
    if len(faults) > MOST_FAULTS:
        console.print(f"... and {len(faults) - MOST_FAULTS} more.")
