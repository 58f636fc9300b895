"""`souk provision`: streams, consumers, buckets and users of NATS, as contracts say."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from infra.messaging import topology as streams
from infra.messaging.connection import server_urls
from infra.messaging.permissions import NATS_USERS, render_users
from infra.ops.cli.running_stack import Running
from infra.ops.devstack import nats
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.port_allocation import NATS
from infra.ops.devstack.secret_files import OPERATOR

READER_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")


class OperatorSettings(BaseSettings):
    """How the operator reaches a NATS that `souk up` does not run."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    nats_url: str = ""
    nats_password: SecretStr | None = None
    nats_passwords_dir: Path | None = None
    """A folder with a file a user, named like the user, that holds the password."""


def provision(
    *,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
    reader: Annotated[str, typer.Option(help="Also make a user of this name who may only listen to events.")] = "",
    replicas: Annotated[
        int | None, typer.Option(help="Copies of each stream: the nodes of the shop that runs, or 1.", min=1, max=5)
    ] = None,
    users_file: Annotated[
        Path | None, typer.Option(help="Only write the users' part of a NATS configuration to this file.")
    ] = None,
) -> None:
    """Set NATS up as the contracts say. It can run again at any time; what is right stays as it is."""
    console = Console(highlight=False)
    settings = OperatorSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    if users_file is not None:
        _write_users(users_file, settings)
        console.print(f"{users_file} is written.", soft_wrap=True)
    elif settings.nats_url and settings.nats_password:
        _provision(settings.nats_url, settings.nats_password.get_secret_value(), replicas or 1, console)
    else:
        running = Running(data)
        _provision(running.nats_url, running.password(OPERATOR), replicas or len(running.addresses.nats) or 1, console)
        if reader:
            _make_reader(running, reader, console)


def _provision(url: str, password: str, replicas: int, console: Console) -> None:
    try:
        done = asyncio.run(streams.provision(url, password, replicas=replicas))
    except streams.NotEnoughNodes as error:
        raise StackError(f"{error} Choose another number with --replicas.") from None
    for line in done or ["NATS is as it should be."]:
        console.print(line)


def _make_reader(running: Running, name: str, console: Console) -> None:
    if not READER_NAME.match(name) or name in NATS_USERS:
        raise StackError(
            f"A reader cannot be called {name!r}: use lower-case letters, digits, - and _, and no service."
        )
    password = running.vault.secret("readers", name)
    nats.write_users(running.layout, running.vault)
    pids = running.pids(NATS)
    if not pids:
        raise StackError("NATS is not a process of this stack: add the reader to its own configuration.")
    for pid in pids:
        os.kill(pid, signal.SIGHUP)
    places = ",".join(f"nats://{name}:{password}@{url.partition('://')[2]}" for url in server_urls(running.nats_url))
    console.print(f"{name} may listen to event.> at {places}", soft_wrap=True)


def _write_users(path: Path, settings: OperatorSettings) -> None:
    folder = settings.nats_passwords_dir
    if folder is None:
        raise StackError("SOUK_NATS_PASSWORDS_DIR names no folder; it holds a password file for each NATS user.")
    missing = [name for name in NATS_USERS if not (folder / name).is_file()]
    if missing:
        raise StackError(f"{folder} has no password for {', '.join(missing)}.")
    path.touch(mode=0o600)
    path.write_text(render_users({name: (folder / name).read_text().strip() for name in NATS_USERS}))
