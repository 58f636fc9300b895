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

from infra.ops.cli.admin_client import AdminApi, log_in_as_admin
from infra.ops.cli.options import DataOption, UrlOption
from infra.ops.devstack.errors import StackError

POLL_SECONDS = 0.1
FINAL_STATUSES = frozenset({"done", "failed"})
MAX_NOTICES_SHOWN = 50
MAX_VALUE_SHOWN = 40
COUNT_COLUMNS = ("products", "variants", "created", "updated", "unchanged")


def import_command(
    file: Annotated[
        Path, typer.Argument(help="A product CSV as Shopify or WooCommerce exports it.", show_default=False)
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only report what would be imported.")] = False,
    data: DataOption = None,
    url: UrlOption = "",
) -> None:
    """Import the products of a CSV file into the running shop. Importing a file again changes nothing.

    What has to be changed to fit, such as a SKU that another product has, is listed as a warning.

    Exit code 1: the job failed, or at least one row was not imported. The other rows are.

    Example: souk import products.csv --dry-run
    """
    console = Console(highlight=False)
    content = read_product_file(file)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(f"{file.name}, rows", total=count_rows(content))

        def tell_wait(seconds: float) -> None:
            progress.console.print(f"The shop is busy or limits imports; trying again in {seconds:.0f} s.")

        def show_rows(rows: int) -> None:
            progress.update(bar, completed=rows)

        job = asyncio.run(_import(content, data, url, show_rows, tell_wait, dry_run=dry_run))
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


async def _import(
    content: bytes,
    data: Path | None,
    url: str,
    on_progress: Callable[[int], None],
    on_wait: Callable[[float], None],
    *,
    dry_run: bool,
) -> dict[str, Any]:
    async with log_in_as_admin(data, url) as api:
        api.on_wait = on_wait
        return await run_import(api, content, on_progress, dry_run=dry_run)


async def run_import(
    api: AdminApi, content: bytes, on_progress: Callable[[int], None], *, dry_run: bool
) -> dict[str, Any]:
    """Uploads the file and waits for the end of the job. `on_progress` gets the number of rows read."""
    path = "/products/import?dry_run=true" if dry_run else "/products/import"
    job: dict[str, Any] = await api.request("POST", path, lambda: content, content_type="text/csv")
    while job["status"] not in FINAL_STATUSES:
        on_progress(job["rows"])
        await asyncio.sleep(POLL_SECONDS)
        job = await api.get(f"/products/import/{job['id']}")
    on_progress(job["rows"])
    return job


def print_result(job: dict[str, Any], name: str, console: Console) -> None:
    """Prints what was imported, what was changed to fit, and each row that was not imported."""
    imported = "would be imported" if job.get("dry_run") else "was imported"
    outcome = imported if job["status"] == "done" else "could not be imported"
    console.print(f"{name} {outcome}: {job['rows']} rows read.")
    counts = Table(box=None, pad_edge=False, header_style="bold")
    for count in COUNT_COLUMNS:
        counts.add_column(count.capitalize(), justify="right")
    counts.add_row(*(str(job[count]) for count in COUNT_COLUMNS))
    console.print(counts)
    if changes := job.get("changes"):
        _print_changes(changes, console)
    warnings, errors = job.get("warnings", []), job["errors"]
    if warnings:
        values = "value was" if len(warnings) == 1 else "values were"
        _print_notices(f"{len(warnings)} {values} changed or left out:", "yellow", warnings, console)
    if errors:
        rows = "row" if len(errors) == 1 else "rows"
        _print_notices(f"{len(errors)} {rows} not imported:", "red", errors, console)


def _print_changes(changes: list[dict[str, Any]], console: Console) -> None:
    console.print("\nThe first changes:", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    for column in ("Handle", "SKU", "Column", "Before", "After"):
        table.add_column(column)
    rows = [(change, one) for change in changes for one in change["fields"] or [{"field": "a new product"}]]
    for change, one in rows[:MAX_NOTICES_SHOWN]:
        values = (one.get(name, "")[:MAX_VALUE_SHOWN] for name in ("before", "after"))
        cells = (change["handle"], one.get("sku", ""), one["field"], *(" ".join(value.split()) for value in values))
        table.add_row(str(change["line"]), *map(Text, cells))
    console.print(table)
    if len(rows) > MAX_NOTICES_SHOWN:
        console.print(f"... and {len(rows) - MAX_NOTICES_SHOWN} more.")


def _print_notices(title: str, colour: str, notices: list[dict[str, Any]], console: Console) -> None:
    console.print(f"\n{title}", style=f"bold {colour}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Line", justify="right")
    for column in ("Handle", "Column", "Value", "Why"):
        table.add_column(column)
    for notice in notices[:MAX_NOTICES_SHOWN]:
        value = notice.get("value", "")
        shown = value if len(value) <= MAX_VALUE_SHOWN else f"{value[:MAX_VALUE_SHOWN]}…"
        cells = (notice.get("handle", ""), notice.get("field", ""), " ".join(shown.split()), notice["detail"])
        table.add_row(str(notice["line"]), *map(Text, cells))  # as they are: square brackets are no markup
    console.print(table)
    if len(notices) > MAX_NOTICES_SHOWN:
        console.print(f"... and {len(notices) - MAX_NOTICES_SHOWN} more.")
