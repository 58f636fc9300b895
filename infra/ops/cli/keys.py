"""`souk keys`: rotates the keys that sign access tokens."""

import asyncio
from pathlib import Path

import typer
from rich.console import Console

from contracts import user
from contracts.failure import Fail
from contracts.model import Empty
from contracts.user import KeyRotation
from infra.messaging.rpc_client import RpcClient
from infra.ops.cli.operator_connection import operator_client
from infra.ops.cli.options import PLAIN, WIDE, DataOption
from infra.ops.devstack.errors import StackError

REQUEST_TIMEOUT_SECONDS = 10.0

keys = typer.Typer(no_args_is_help=True, add_completion=False, context_settings=WIDE, **PLAIN)


@keys.callback()
def keys_group() -> None:
    """Rotate the keys that sign access tokens.

    Example: souk keys rotate
    """


@keys.command()
def rotate(data: DataOption = None) -> None:
    """Sign access tokens with a new key. No user is signed out: the old key stays valid as long as its tokens.

    The new key is published at once. It signs after a delay in which every process and edge has loaded it.

    Example: souk keys rotate
    """
    try:
        done = asyncio.run(_rotate(data))
    except Fail as fail:
        raise StackError(f"The keys were not rotated: {fail.detail}") from fail
    console = Console(highlight=False)
    console.print(f"{done.kid} signs in {done.signs_in} s.")
    for kid in done.former:
        console.print(f"{kid} stays valid for {done.retired_in // 60} min.", style="dim")


async def _rotate(data: Path | None) -> KeyRotation:
    async with operator_client(data) as client:
        return await RpcClient(client, REQUEST_TIMEOUT_SECONDS).request(user.ROTATE_KEYS, Empty())
