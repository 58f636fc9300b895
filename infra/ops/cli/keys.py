"""`souk keys`: the keys that sign access tokens."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts import user
from contracts.failure import Fail
from contracts.model import Empty
from contracts.user import KeyRotation
from infra.messaging.rpc import RpcClient
from infra.ops.cli.operator_connection import operating
from infra.ops.devstack.errors import StackError

TIMEOUT = 10.0

keys = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)


@keys.callback()
def described() -> None:
    """The keys that sign access tokens."""


@keys.command()
def rotate(data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None) -> None:
    """Sign access tokens with a new key from now on. Nobody is signed out: the one before is good while its tokens are.

    The new key is published at once, and signs when every process and every edge can have learned of it.
    """
    try:
        done = asyncio.run(_rotate(data))
    except Fail as fail:
        raise StackError(f"The keys stay as they are: {fail.detail}.") from fail
    console = Console(highlight=False)
    console.print(f"{done.kid} signs in {done.signs_in} s.")
    for kid in done.former:
        console.print(f"{kid} is good for {done.retired_in // 60} min more.", style="dim")


async def _rotate(data: Path | None) -> KeyRotation:
    async with operating(data) as client:
        return await RpcClient(client, TIMEOUT).request(user.ROTATE_KEYS, Empty())
