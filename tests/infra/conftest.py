"""The kernel by itself: NATS and PostgreSQL, and a service of the test's own in place of `order`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client

from infra.database.postgres import Database, connect
from infra.foundation.settings import PostgresSettings
from infra.foundation.telemetry import Metrics
from infra.messaging import connection as messaging
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from infra.runtime.service import Resources, ServiceDefinition, ServiceParts
from tests.conftest import FREE_PORTS
from tests.support.rpc import RpcCaller


class KernelStack:
    """Servers, and `order` as the test furnishes it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def settings(self, **changed: Any) -> PostgresSettings:
        return PostgresSettings(
            _env_file=None,
            nats_url=self.stack.nats_url,
            nats_password=self.stack.password("order"),
            database_url=self.stack.dsn("order", with_password=False),
            database_password=self.stack.vault.secret("order", "souk_database_password"),
            **changed,
        )

    @asynccontextmanager
    async def serve(
        self, build: Callable[[Resources[PostgresSettings, Database]], ServiceParts], **changed: Any
    ) -> AsyncIterator[ConnectionMonitor]:
        """The service at work in this process."""
        watch = ConnectionMonitor(Metrics())
        service = ServiceDefinition("order", PostgresSettings, connect, build)
        async with service.serve(self.settings(**changed), watch):
            yield watch

    def client(self, user: str) -> AbstractAsyncContextManager[Client]:
        return messaging.connect(self.stack.nats_url, user, self.stack.password(user))

    async def database(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.stack.dsn("order"))


@pytest.fixture(scope="session")
async def kernel(data_folder: Path) -> AsyncIterator[KernelStack]:
    options = Options(
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
    """NATS as the operator."""
    async with kernel.client("operator") as client:
        yield client


@pytest.fixture(scope="session")
def kernel_ask(kernel_client: Client) -> RpcCaller:
    return RpcCaller(kernel_client)
