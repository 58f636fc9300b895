"""`souk import FILE`: uploads a product file as an import job and follows it to its end."""

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

from infra.ops.cli.admin_account import AdminApi, credentials_from_environment, ensure_admin, log_in
from infra.ops.cli.options import DataOption, UrlOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.errors import StackError

POLL_SECONDS = 0.1
FINAL_STATUSES = frozenset({"done", "failed"})
MAX_ERRORS_SHOWN = 50
COUNT_COLUMNS = ("products", "variants", "created", "updated", "unchanged")


def import_command(
    file: Annotated[Path, typer.Argument(help="A product CSV as Shopify exports it.", show_default=False)],
    *,
    data: DataOption = None,
    url: UrlOption = "",
) -> None:
    """Import the products of a CSV file into the running shop. Importing a file again changes nothing.

    Exit code 1: the job failed, or at least one row was not imported. The other rows are.

    Example: souk import products.csv
    """
    console = Console(highlight=False)
    content = read_product_file(file)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{file.name}, rows", total=count_rows(content))
        job = asyncio.run(_import(content, data, url, lambda rows: progress.update(bar, completed=rows)))
    print_result(job, file.name, console)
    if job["status"] == "failed" or job["errors"]:
        raise typer.Exit(1)


def read_product_file(file: Path) -> bytes:
    """Reads the file. Raises a `StackError` that explains why it is not readable."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise StackError(f"There is no file {file}.") from None
    except IsADirectoryError:
        raise StackError(f"{file} is a folder. Choose a CSV file.") from None
    except OSError as error:
        raise StackError(f"{file} is not readable: {error.strerror}.") from None


def count_rows(content: bytes) -> int | None:
    """Counts the rows for the progress bar. Returns None if the file is no CSV, which the shop will report."""
    try:
        lines = csv.reader(content.decode("utf-8-sig").splitlines(keepends=True))
        return max(sum(1 for row in lines if row) - 1, 0)
    except (UnicodeDecodeError, csv.Error):
        return None


async def _import(content: bytes, data: Path | None, url: str, on_progress: Callable[[int], None]) -> dict[str, Any]:
    if url:
        address, credentials = url, credentials_from_environment()
    else:
        running = RunningStack(data)
        address, credentials = running.http_url, (await ensure_admin(running)).credentials
    async with log_in(address, credentials) as api:
        return await run_import(api, content, on_progress)


async def run_import(api: AdminApi, content: bytes, on_progress: Callable[[int], None]) -> dict[str, Any]:
    """Uploads the file and waits for the end of the job. `on_progress` gets the number of rows read."""
    job: dict[str, Any] = await api.request("POST", "/products/import", lambda: content, content_type="text/csv")
    while job["status"] not in FINAL_STATUSES:
        on_progress(job["rows"])
        await asyncio.sleep(POLL_SECONDS)
        job = await api.get(f"/products/import/{job['id']}")
    on_progress(job["rows"])
    return job


def print_result(job: dict[str, Any], name: str, console: Console) -> None:
    """Prints what was imported, and each row that was not."""
    outcome = "was imported" if job["status"] == "done" else "could not be imported"
    console.print(f"{name} {outcome}: {job['rows']} rows read.")
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for count in COUNT_COLUMNS:
        counts.add_column(count.capitalize(), justify="right")
    counts.add_row(*(str(job[count]) for count in COUNT_COLUMNS))
    console.print(counts)
    if job["errors"]:
        _print_errors(job["errors"], console)


def _print_errors(errors: list[dict[str, Any]], console: Console) -> None:
    rows = "row" if len(errors) == 1 else "rows"
    console.print(f"\n{len(errors)} {rows} not imported:", style="bold red")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    table.add_column("Why")
    for error in errors[:MAX_ERRORS_SHOWN]:
        table.add_row(str(error["line"]), Text(error["detail"]))  # as it is: square brackets in it are no markup
    console.print(table)
    if len(errors) > MAX_ERRORS_SHOWN:
        console.print(f"... and {len(errors) - MAX_ERRORS_SHOWN} more.")
