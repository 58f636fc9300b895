"""A mail sender of the test's own: its own database, real recipient lookup, and a real mail server."""

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
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.ops.devstack.stack import Stack
from services.notification.domain.deliveries import NewDelivery
from services.notification.domain.mails import subject_line
from services.notification.domain.mails_to_unconfirmed_addresses import UnconfirmedMailLimits
from services.notification.mail.recipient_throttle import RecipientThrottle
from services.notification.mail.recipients import RecipientLookup
from services.notification.mail.smtp import SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries
from services.notification.workers.mail_sender import MailSender
from tests.services.notification.sample_mails import TRACEPARENT, order_facts
from tests.services.notification.smtp_server import MailServer
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class MailQueue:
    """Deliveries in a database that no running service uses."""

    db: Database
    recipients: RecipientLookup

    def sender(
        self,
        server: MailServer,
        *,
        rate_per_second: float = 1000.0,
        connections: int = 1,
        limits: UnconfirmedMailLimits | None = None,
    ) -> MailSender:
        """Builds a sender that sends these deliveries through the server."""

        def client() -> aiosmtplib.SMTP:
            return aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, timeout=1, local_hostname="souk.example")

        return MailSender(
            self.db,
            self.recipients,
            MailTemplates("Souk", ""),
            [SmtpConnection(client()) for _ in range(connections)],
            from_address=Address(display_name="Souk", addr_spec="orders@souk.example"),
            rate_limit=TokenBucket(rate_per_second, time.monotonic),
            mail_counter=Counter("mails", "Mails.", ("kind", "status"), registry=CollectorRegistry()),
            throttle=RecipientThrottle(self.db, limits) if limits else None,
            abuse_counter=Counter("abuse", "Abuse.", ("kind", "measure"), registry=CollectorRegistry()),
        )

    async def enqueue(
        self,
        user_id: UUID | None,
        kind: NotificationKind = NotificationKind.ORDER_PAID,
        *,
        order_id: UUID | None = None,
    ) -> UUID:
        """Queues a mail and returns the delivery's id."""
        delivery_id, facts = new_id(), order_facts()
        mail = NewDelivery(
            delivery_id,
            kind,
            order_id or new_id(),
            user_id,
            subject_line(kind, facts.number),
            facts.model_dump_json(exclude_none=True).encode(),
            TRACEPARENT,
            "req-1",
        )
        async with self.db.connection() as connection:
            await deliveries.enqueue(connection, [mail])
        return delivery_id

    async def row(self, delivery_id: UUID) -> Any:
        """Returns the stored delivery; `due_in` is the number of seconds until it is due."""
        async with self.db.connection() as connection:
            return await connection.fetchrow(
                "SELECT status, attempts, reason, sent_at, extract(epoch FROM due_at - now())::float8 AS due_in"
                " FROM delivery WHERE id = $1",
                delivery_id,
            )

    async def make_due(self, delivery_id: UUID) -> None:
        """Makes a delivery due now."""
        async with self.db.connection() as connection:
            await connection.execute("UPDATE delivery SET due_at = now() WHERE id = $1", delivery_id)


@asynccontextmanager
async def _new_database(stack: Stack) -> AsyncIterator[Database]:
    name = f"mails_{new_id().hex}"
    owner = await asyncpg.connect(stack.postgres_url)
    await owner.execute(f"CREATE DATABASE {name} OWNER souk_notification")
    dsn = f"{stack.dsn('notification').rpartition('/')[0]}/{name}"
    await migrate(dsn, migrations_of("notification"))
    settings = PostgresSettings(
        _env_file=None,
        nats_password="unused",
        database_url=dsn,
        database_password=stack.secrets.get_or_create("notification", "souk_database_password"),
    )
    try:
        async with connect(settings, "mails") as db:
            yield db
    finally:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await owner.close()


@pytest.fixture(scope="session")
async def mail_database(stack: Stack) -> AsyncIterator[Database]:
    async with _new_database(stack) as db:
        yield db


@pytest.fixture
async def mail_queue(mail_database: Database, as_service: Callable[[str], Awaitable[RpcCaller]]) -> MailQueue:
    """An empty queue."""
    async with mail_database.connection() as connection:
        await connection.execute("DELETE FROM delivery")
    return MailQueue(mail_database, RecipientLookup((await as_service("notification")).rpc))


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    async with MailServer().running() as server:
        yield server


@dataclass(frozen=True)
class Addressee:
    """A registered customer who receives mail."""

    id: UUID
    email: str


@pytest.fixture
async def addressee(rpc: RpcCaller) -> Addressee:
    email = f"{new_id().hex}@example.com"
    body = {"email": email, "password": "correct horse", "first_name": "Ada", "last_name": "Lovelace"}
    session = await rpc(user.REGISTER, body)
    return Addressee(session.user.id, email)
