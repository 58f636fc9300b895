"""Fixtures for the tests of `infra`: NATS, PostgreSQL, and a service made by the test in place of `order`."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client

from contracts.event import Event
from contracts.operation import AnyOperation
from infra.database.postgres import Database, connect
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging import connection
from infra.messaging.connection import ConnectionMonitor
from infra.messaging.consumer import EventHandler
from infra.messaging.rpc_server import Handler
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from tests.conftest import FREE_PORTS
from tests.support.rpc import RpcCaller


class KernelStack:
    """NATS and PostgreSQL, and the means to run a service as `order`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def settings(self, **changed: Any) -> PostgresSettings:
        """Returns the settings of the service, with the given changes."""
        return PostgresSettings(
            _env_file=None,
            nats_url=self.stack.nats_url,
            nats_password=self.stack.nats_password("order"),
            database_url=self.stack.dsn("order", with_password=False),
            database_password=self.stack.secrets.get_or_create("order", "souk_database_password"),
            **changed,
        )

    @asynccontextmanager
    async def serve(
        self,
        build: Callable[[Resources[PostgresSettings, Database]], ServiceParts],
        handlers: Mapping[AnyOperation, Handler] | None = None,
        event_handlers: Mapping[type[Event], EventHandler] | None = None,
        **changed: Any,
    ) -> AsyncIterator[ConnectionMonitor]:
        """Runs a service in this process while the block is open."""
        monitor = ConnectionMonitor(Metrics())
        service = ServiceDefinition("order", PostgresSettings, connect, build, handlers or {}, event_handlers or {})
        async with service.serve(self.settings(**changed), monitor):
            yield monitor

    def client(self, user: str) -> AbstractAsyncContextManager[Client]:
        """Connects to NATS as one of its users."""
        return connection.connect(self.stack.nats_url, user, self.stack.nats_password(user))

    async def database(self) -> asyncpg.Connection:
        """Opens a connection to the database of the service."""
        return await asyncpg.connect(self.stack.dsn("order"))


@pytest.fixture(scope="session")
async def kernel(data_folder: Path) -> AsyncIterator[KernelStack]:
    options = StackSettings(
        _env_file=None,
        data=data_folder / "kernel",
        parts=frozenset({"nats", "postgres"}),
        services=("order",),
        **FREE_PORTS,
    )
    async with Stack(options).running() as stack:
        yield KernelStack(stack)


@pytest.fixture(scope="session")
async def kernel_client(kernel: KernelStack) -> AsyncIterator[Client]:
    """A NATS connection of the operator."""
    async with kernel.client("operator") as client:
        yield client


@pytest.fixture(scope="session")
def kernel_rpc(kernel_client: Client) -> RpcCaller:
    return RpcCaller(kernel_client)
