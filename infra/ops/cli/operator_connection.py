"""Connects to NATS as the operator: of the local shop, or of another one that the environment names."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.operation import OPERATOR
from infra.messaging import connection
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.errors import StackError


class OperatorSettings(BaseSettings):
    """How the operator reaches a NATS that `souk up` does not run."""

    model_config = SettingsConfigDict(env_prefix="SOUK_", env_file=".env", extra="ignore", frozen=True)

    nats_url: str = ""
    nats_password: SecretStr | None = None
    nats_passwords_dir: Path | None = None
    """A folder with one file for each NATS user, named like the user, that contains the password."""


def operator_settings() -> OperatorSettings:
    """Reads the settings, secrets from files in SOUK_SECRETS_DIR included."""
    return OperatorSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))


def operator_endpoint(data: Path | None) -> tuple[str, str]:
    """Returns the URL of NATS and the operator's password."""
    settings = operator_settings()
    if settings.nats_url and settings.nats_password:
        return settings.nats_url, settings.nats_password.get_secret_value()
    running = RunningStack(data)
    return running.nats_url, running.nats_password(OPERATOR)


@asynccontextmanager
async def operator_client(data: Path | None) -> AsyncIterator[Client]:
    """Opens a connection for one command. Raises a `StackError` when NATS fails."""
    url, password = operator_endpoint(data)
    try:
        async with connection.connect(url, OPERATOR, password, allow_reconnect=False) as client:
            yield client
    except NotFoundError as error:
        raise StackError("A stream is missing in NATS. Run `souk provision`.") from error
    except (nats.errors.Error, OSError) as error:
        raise StackError(
            f"NATS at {url} failed: {str(error) or type(error).__name__}. "
            "Check it with `souk status`, then run this command again; it is safe to repeat."
        ) from error
