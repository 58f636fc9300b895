"""`souk migrate`: applies or reverts the migrations of the PostgreSQL databases."""

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
from infra.ops.cli.options import DataOption
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack_settings import SERVICE_STORES

SERVICES = tuple(name for name, store in SERVICE_STORES.items() if store == "postgres")


class DatabaseSettings(BaseSettings):
    """The database of one service that `souk up` does not run."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    database_url: str = ""
    database_password: SecretStr | None = None


def migrate(
    *,
    service: Annotated[str, typer.Option(metavar="NAME", help="Only the database of this service.")] = "",
    back_to: Annotated[
        int | None,
        typer.Option(
            "--back-to", metavar="NUMBER", help="Revert the migrations after this one (0 reverts all).", min=0
        ),
    ] = None,
    data: DataOption = None,
) -> None:
    """Apply all pending database migrations, or revert those of one service with --back-to.

    Example: souk migrate --service order --back-to 12
    """
    if service and service not in SERVICES:
        raise StackError(f"{service} has no PostgreSQL database. Choose one of {', '.join(SERVICES)}.")
    if back_to is not None and not service:
        raise StackError("Choose the service whose migrations to revert with --service.")
    try:
        done = asyncio.run(_migrate(_dsns(service, data), back_to))
    except migrations.MigrationError as error:
        raise StackError(f"A migration failed: {error}") from error
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
            raise StackError("SOUK_DATABASE_URL is the database of one service. Choose which with --service.")
        return {service: _with_password(settings)}
    running = RunningStack(data)
    return {name: running.dsn(name) for name in ([service] if service else SERVICES)}


def _with_password(settings: DatabaseSettings) -> str:
    if settings.database_password is None:
        return settings.database_url
    parts = urlsplit(settings.database_url)
    user, _, host = parts.netloc.rpartition("@")
    secret = quote(settings.database_password.get_secret_value(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{secret}@{host}"))
