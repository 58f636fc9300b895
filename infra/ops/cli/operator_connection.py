"""NATS as the operator: of the shop that runs here, or of one elsewhere that the environment names."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from contracts.operation import OPERATOR
from infra.messaging import connection as messaging
from infra.ops.cli.provision import OperatorSettings
from infra.ops.cli.running_stack import Running
from infra.ops.devstack.errors import StackError


@asynccontextmanager
async def operating(data: Path | None) -> AsyncIterator[Client]:
    """A connection for one command. Raises `StackError`, with what to do, where NATS cannot be used."""
    url, password = whereabouts(data)
    try:
        async with messaging.connect(url, OPERATOR, password, allow_reconnect=False) as client:
            yield client
    except NotFoundError as error:
        raise StackError("NATS lacks a stream of the shop: run `souk provision`.") from error
    except (nats.errors.Error, OSError) as error:
        raise StackError(
            f"NATS at {url} does not answer as it should: {str(error) or type(error).__name__}. "
            "`souk status` shows what runs; the command can be run again."
        ) from error


def whereabouts(data: Path | None) -> tuple[str, str]:
    """The address of NATS and the operator's password."""
    settings = OperatorSettings(_secrets_dir=os.environ.get("SOUK_SECRETS_DIR"))
    if settings.nats_url and settings.nats_password:
        return settings.nats_url, settings.nats_password.get_secret_value()
    running = Running(data)
    return running.nats_url, running.password(OPERATOR)
