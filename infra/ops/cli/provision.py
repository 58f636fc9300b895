"""`souk provision`: creates the streams, consumers, buckets and users of NATS that the contracts define."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.operation import OPERATOR
from infra.messaging import provisioning
from infra.messaging.connection import server_urls
from infra.messaging.nats_accounts import render_accounts
from infra.messaging.permissions import NATS_USERS
from infra.ops.cli.operator_connection import OperatorSettings, operator_settings
from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack import nats
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.port_allocation import NATS_PROCESS
from infra.ops.devstack.secret_files import READERS_DIR

READER_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")


def provision(
    *,
    data: DataOption = None,
    reader: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Also add a NATS user with an account of its own, in which it may read every event.",
        ),
    ] = "",
    remove_reader: Annotated[str, typer.Option(metavar="NAME", help="Also remove such a user and its consumers.")] = "",
    replicas: Annotated[
        int | None, typer.Option(help="Copies of each stream (default: the number of NATS nodes).", min=1, max=5)
    ] = None,
    users_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write only the users' part of a NATS configuration to this file, with the passwords in "
            "SOUK_NATS_PASSWORDS_DIR.",
        ),
    ] = None,
) -> None:
    """Create or update the streams, consumers, buckets and users of NATS. Safe to repeat.

    It uses the NATS at SOUK_NATS_URL with SOUK_NATS_PASSWORD if both are set, else the local shop's.

    Example: souk provision --reader warehouse
    """
    console = Console(highlight=False)
    settings = operator_settings()
    if users_file is not None:
        _write_users(users_file, settings)
        console.print(f"{users_file} written", soft_wrap=True)
    elif settings.nats_url and settings.nats_password:
        if reader or remove_reader:
            raise StackError("Readers can be changed in the local shop only. Edit the users of your own NATS instead.")
        _provision(settings.nats_url, settings.nats_password.get_secret_value(), replicas or 1, console)
    else:
        running = RunningStack(data)
        if reader:
            _configure_reader(running, reader)
        replicas = replicas or len(running.ports.nats) or 1
        readers = running.secrets.reader_passwords()
        _provision(running.nats_url, running.nats_password(OPERATOR), replicas, console, readers)
        if reader:
            _print_reader(running, reader, console)
        if remove_reader:
            _remove_reader(running, remove_reader, console)


def _provision(
    url: str, password: str, replicas: int, console: Console, readers: Mapping[str, str] | None = None
) -> None:
    try:
        changes = asyncio.run(provisioning.provision(url, password, replicas=replicas, readers=readers))
    except provisioning.NotEnoughNodes as error:
        raise StackError(f"{error} Choose another number with --replicas.") from None
    except provisioning.ReaderNotConfigured as error:
        raise StackError(str(error)) from error
    for line in changes or ["NATS is up to date."]:
        console.print(line)


def _configure_reader(running: RunningStack, name: str) -> None:
    if not READER_NAME.match(name) or name in NATS_USERS:
        raise StackError(
            f"{name!r} cannot be the name of a reader. Use lower-case letters, digits, - and _, and no service's name."
        )
    running.secrets.get_or_create(READERS_DIR, name)
    _reload_users(running)


def _print_reader(running: RunningStack, name: str, console: Console) -> None:
    password = running.nats_password(name)
    urls = ",".join(f"nats://{name}:{password}@{url.partition('://')[2]}" for url in server_urls(running.nats_url))
    console.print(f"{name} may read event.> at {urls}", soft_wrap=True)


def _remove_reader(running: RunningStack, name: str, console: Console) -> None:
    readers = running.secrets.reader_passwords()
    if name not in readers:
        raise StackError(f"There is no reader {name}. " + (f"Choose one of {', '.join(readers)}." if readers else ""))
    asyncio.run(provisioning.remove_mirrors(running.nats_url, running.nats_password(OPERATOR), name))
    (running.secrets.owner_dir(READERS_DIR) / name).unlink()
    _reload_users(running)
    console.print(f"{name} is removed and can no longer connect to NATS.")


def _reload_users(running: RunningStack) -> None:
    """Rewrites the users of NATS and makes every node read them."""
    nats.write_users_config(running.data_dir, running.secrets)
    pids = running.pids(NATS_PROCESS)
    if not pids:
        raise StackError("This shop does not run NATS itself. Change the readers in the configuration of that NATS.")
    asyncio.run(nats.reload_users(pids, list(running.ports.nats_monitor.values())))


def _write_users(path: Path, settings: OperatorSettings) -> None:
    folder = settings.nats_passwords_dir
    if folder is None:
        raise StackError("Set SOUK_NATS_PASSWORDS_DIR to a folder with one password file for each NATS user.")
    missing = [name for name in NATS_USERS if not (folder / name).is_file()]
    if missing:
        raise StackError(f"{folder} has no password file for {', '.join(missing)}.")
    path.touch(mode=0o600)
    path.write_text(render_accounts({name: (folder / name).read_text().strip() for name in NATS_USERS}))
