"""`souk migrate`: the databases up to date, or a step back."""

import asyncio
import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit, urlunsplit

import typer
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

from infra.database import migrate as migrations
from infra.ops.cli.running_stack import Running
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack_settings import STORES

SERVICES = tuple(name for name, store in STORES.items() if store == "postgres")


class DatabaseSettings(BaseSettings):
    """One service's own database, where `souk up` does not run it."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = ""
    database_password: SecretStr | None = None


def migrate(
    *,
    service: Annotated[str, typer.Option(help="Only this one; all without it.")] = "",
    back_to: Annotated[
        int | None, typer.Option("--back-to", help="Take steps back until this number is the last (0: all).", min=0)
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder (SOUK_DATA; .souk).")] = None,
) -> None:
    """Bring the databases up to date; with `--back-to`, take one service's own steps back."""
    if service and service not in SERVICES:
        raise StackError(f"{service} has no PostgreSQL database; there are {', '.join(SERVICES)}.")
    if back_to is not None and not service:
        raise StackError("Say which service goes back, with --service.")
    try:
        done = asyncio.run(_migrate(_dsns(service, data), back_to))
    except migrations.MigrationError as error:
        raise StackError(f"A migration cannot be applied: {error}") from error
    console = Console(highlight=False)
    for line in done or ["The databases are up to date."]:
        console.print(line)


async def _migrate(dsns: dict[str, str], back_to: int | None) -> list[str]:
    if back_to is None:
        done = await migrations.migrate_all(dsns)
        return [f"{service}: {step}" for service, steps in done.items() for step in steps]
    return [step for service, dsn in dsns.items() for step in await migrations.revert(dsn, service, to=back_to)]


def _dsns(service: str, data: Path | None) -> dict[str, str]:
    settings = DatabaseSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    if settings.database_url:
        if not service:
            raise StackError("SOUK_DATABASE_URL is one service's database: say whose, with --service.")
        return {service: _with_password(settings)}
    running = Running(data)
    return {name: running.dsn(name) for name in ([service] if service else SERVICES)}


def _with_password(settings: DatabaseSettings) -> str:
    if settings.database_password is None:
        return settings.database_url
    parts = urlsplit(settings.database_url)
    user, _, place = parts.netloc.rpartition("@")
    secret = quote(settings.database_password.get_secret_value(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{place}"))
