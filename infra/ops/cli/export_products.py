"""`souk export FILE`: downloads all products as a product file."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import IO, Annotated, Literal

import aiohttp
import typer
from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn

from infra.ops.cli.admin_client import AdminApi, log_in_as_admin
from infra.ops.cli.options import DataOption, UrlOption
from infra.ops.devstack.errors import StackError

CHUNK_BYTES = 256 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_read=60)


def export_command(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.", show_default=False)],
    *,
    dialect: Annotated[
        Literal["current", "legacy"], typer.Option(help="The columns that Shopify writes now, or those before.")
    ] = "current",
    data: DataOption = None,
    url: UrlOption = "",
) -> None:
    """Export all products of the running shop to a CSV file, which Shopify and `souk import` read.

    A file of that name is replaced once the export is complete.

    Example: souk export products.csv --dialect legacy
    """
    console = Console(highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(file.name, total=None)
        size = asyncio.run(_export(file, dialect, data, url, lambda written: progress.update(bar, completed=written)))
    console.print(f"{file.name} was written: {size:,} bytes.")


async def _export(file: Path, dialect: str, data: Path | None, url: str, on_progress: Callable[[int], None]) -> int:
    async with log_in_as_admin(data, url) as api:
        return await save_export(api, dialect, file, on_progress)


async def save_export(api: AdminApi, dialect: str, file: Path, on_progress: Callable[[int], None]) -> int:
    """Writes the export to a file beside `file`, which it replaces at the end. Returns its size in bytes."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as content:
            size = await _download(api, dialect, content, on_progress)
        part.replace(file)
    except OSError as error:
        raise StackError(f"{file} cannot be written: {error.strerror}.") from None
    finally:
        with suppress(OSError):
            part.unlink()
    return size


async def _download(api: AdminApi, dialect: str, file: IO[bytes], on_progress: Callable[[int], None]) -> int:
    written = 0
    headers = {"Authorization": f"Bearer {api.token}"}
    address = f"{api.url}/api/v1/products/export?dialect={dialect}"
    try:
        async with api.session.get(address, headers=headers, timeout=TIMEOUT) as response:
            if response.status != HTTPStatus.OK:
                raise StackError(f"The shop refused the export: {(await response.text())[:500]}")
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                file.write(chunk)
                written += len(chunk)
                on_progress(written)
    except (aiohttp.ClientError, TimeoutError):
        raise StackError("The export broke off, and no file was written. Start it again.") from None
    return written
