"""A sender of the test's own: its database, real contacts, and a real mail server that answers as it is told."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any
from uuid import UUID

import aiosmtplib
import asyncpg
import pytest
from prometheus_client import CollectorRegistry, Counter

from contracts import user
from contracts.notification import NotificationKind
from infra.database.migrate import migrate, migrations_of
from infra.database.postgres import Database, connect
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.ops.devstack.stack import Stack
from services.notification.domain.deliveries import subject_line
from services.notification.mail.contacts import RecipientLookup
from services.notification.mail.smtp import SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries as store
from services.notification.workers.mail_sender import MailSender
from tests.services.notification.sample_mails import TRACEPARENT, facts
from tests.services.notification.smtp_server import MailServer
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class Office:
    """Deliveries in a database that no running service looks at."""

    db: Database
    contacts: RecipientLookup

    def sender(self, server: MailServer, *, rate: float = 1000.0, lines: int = 1) -> MailSender:
        def client() -> aiosmtplib.SMTP:
            return aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, timeout=1, local_hostname="souk.example")

        return MailSender(
            self.db,
            self.contacts,
            MailTemplates("Souk", ""),
            [SmtpConnection(client()) for _ in range(lines)],
            from_address=Address(display_name="Souk", addr_spec="orders@souk.example"),
            rate_limit=TokenBucket(rate, time.monotonic),
            mail_counter=Counter("mails", "Mails.", ("kind", "status"), registry=CollectorRegistry()),
        )

    async def queue(self, user_id: UUID | None, kind: NotificationKind = NotificationKind.ORDER_PAID) -> UUID:
        """The delivery's id."""
        delivery_id, about = new_id(), facts()
        subject = subject_line(kind, about.number)
        async with self.db.connection() as connection:
            with trace.activate(trace.parse(TRACEPARENT, request_id="req-1")):
                await store.enqueue(
                    connection,
                    delivery_id=delivery_id,
                    kind=kind,
                    order_id=new_id(),
                    user_id=user_id,
                    subject=subject,
                    facts=about,
                )
        return delivery_id

    async def row(self, delivery_id: UUID) -> Any:
        """What is kept of a delivery; `wait` is the seconds until it is due."""
        async with self.db.connection() as connection:
            return await connection.fetchrow(
                "SELECT status, attempts, reason, sent_at, extract(epoch FROM due_at - now())::float8 AS wait"
                " FROM delivery WHERE id = $1",
                delivery_id,
            )

    async def make_due(self, delivery_id: UUID) -> None:
        async with self.db.connection() as connection:
            await connection.execute("UPDATE delivery SET due_at = now() WHERE id = $1", delivery_id)


@asynccontextmanager
async def _own_database(stack: Stack) -> AsyncIterator[Database]:
    name = f"post_{new_id().hex}"
    administrator = await asyncpg.connect(stack.postgres_url)
    await administrator.execute(f"CREATE DATABASE {name} OWNER souk_notification")
    dsn = f"{stack.dsn('notification').rpartition('/')[0]}/{name}"
    await migrate(dsn, migrations_of("notification"))
    settings = PostgresSettings(
        _env_file=None,
        nats_password="unused",
        database_url=dsn,
        database_password=stack.vault.secret("notification", "souk_database_password"),
    )
    try:
        async with connect(settings, "post") as db:
            yield db
    finally:
        await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await administrator.close()


@pytest.fixture
async def office(stack: Stack, as_service: Callable[[str], Awaitable[RpcCaller]]) -> AsyncIterator[Office]:
    async with _own_database(stack) as db:
        yield Office(db, RecipientLookup((await as_service("notification")).rpc))


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


@dataclass(frozen=True)
class Reader:
    """Somebody with an account, who gets mail."""

    id: UUID
    email: str


@pytest.fixture
async def reader(ask: RpcCaller) -> Reader:
    email = f"{new_id().hex}@example.com"
    said = {"email": email, "password": "correct horse", "first_name": "Ada", "last_name": "Lovelace"}
    session = await ask(user.REGISTER, said)
    return Reader(session.user.id, email)
