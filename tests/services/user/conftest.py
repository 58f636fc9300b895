"""Registered customers, and the user service's own parts over the stack's database."""

import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import jwt
import pyotp
import pytest

from contracts import user
from contracts.identity import Identity
from contracts.notification import NotificationKind
from contracts.user import SessionTokens
from infra.database.migrate import migrate, migrations_of
from infra.database.postgres import connect
from infra.foundation.ids import new_id, now
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc_client import RpcClient
from infra.ops.devstack.mail_files import list_mails
from infra.ops.devstack.stack import Stack
from infra.runtime.service import Resources
from services.notification.domain.mails import SUBJECT_LINES
from services.user.deps import UserDeps, build_deps
from services.user.settings import UserSettings
from services.user.workers.revocation_publisher import RevocationPublisher
from tests.support.rpc import RpcCaller

PASSWORD = "correct horse battery"
MailedTokens = Callable[..., Awaitable[list[str]]]
_TOKEN_LINE = re.compile(r"^ {2}([A-Za-z0-9_-]{43})$", re.MULTILINE)
_hosts = itertools.count(1)


@dataclass(frozen=True)
class Member:
    """A registered customer, with the session that the registration opened."""

    email: str
    session: SessionTokens

    @property
    def credentials(self) -> dict[str, str]:
        return {"email": self.email, "password": PASSWORD}


def identity_of(session: SessionTokens) -> Identity:
    """Returns the identity that the edge reads from the access token."""
    claims = jwt.decode(session.access_token, options={"verify_signature": False})
    return Identity(user_id=session.user.id, role=session.user.role, session_id=UUID(claims["sid"]))


def registration_body(**changed: Any) -> dict[str, Any]:
    """Returns a valid registration with a new e-mail."""
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "Lovelace"}
    return {**body, **changed}


@pytest.fixture
async def member(rpc: RpcCaller) -> Member:
    body = registration_body()
    return Member(body["email"], await rpc(user.REGISTER, body))


@dataclass(frozen=True)
class TotpMember:
    """A customer whose account has a second factor, with the authenticator and the recovery codes."""

    member: Member
    identity: Identity
    authenticator: pyotp.TOTP
    recovery_codes: list[str]
    connection: asyncpg.Connection

    async def fresh_code(self) -> str:
        """Returns a valid code, as if time had passed since the last one was used."""
        await self.connection.execute(
            "UPDATE second_factor SET last_step = 1 WHERE account_id = $1", self.identity.user_id
        )
        return self.authenticator.now()

    @property
    def wrong_code(self) -> str:
        """A code that is invalid now and for the next few minutes."""
        step = self.authenticator.timecode(now())
        valid = {self.authenticator.generate_otp(step + offset) for offset in range(-2, 10)}
        return next(code for code in map("{:06}".format, range(100)) if code not in valid)

    async def login(self, rpc: RpcCaller, code: str | None, client_ip: str = "203.0.113.40") -> SessionTokens:
        """Signs in with a code."""
        extra = {} if code is None else {"code": code}
        session: SessionTokens = await rpc(user.LOGIN, {**self.member.credentials, **extra}, client=client_ip)
        return session


async def start_totp(rpc: RpcCaller, member: Member) -> pyotp.TOTP:
    """Starts a second factor and returns its authenticator."""
    pending = await rpc(user.START_TOTP, {"password": PASSWORD}, identity=identity_of(member.session))
    authenticator = pyotp.parse_uri(pending.uri)
    assert isinstance(authenticator, pyotp.TOTP)
    assert (authenticator.secret, authenticator.name) == (pending.secret, member.email)
    return authenticator


async def count_rows(totp_member: TotpMember, table: str = "recovery_code") -> int:
    """Counts the customer's rows in a table."""
    count: int = await totp_member.connection.fetchval(
        f"SELECT count(*) FROM {table} WHERE account_id = $1",  # noqa: S608 - the test's own table names
        totp_member.identity.user_id,
    )
    return count


@pytest.fixture
async def totp_member(
    rpc: RpcCaller, member: Member, database: Callable[[str], Awaitable[asyncpg.Connection]]
) -> TotpMember:
    authenticator, identity = await start_totp(rpc, member), identity_of(member.session)
    confirmed = await rpc(user.CONFIRM_TOTP, {"code": authenticator.now()}, identity=identity)
    return TotpMember(member, identity, authenticator, confirmed.recovery_codes, await database("user"))


async def all_rows_as_text(connection: asyncpg.Connection) -> str:
    """Returns every row of every table, with bytes as text."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row for (table,) in tables for row in await connection.fetch(f'SELECT * FROM "{table}"')]  # noqa: S608
    return "\n".join(
        value.decode("latin-1") if isinstance(value, bytes) else str(value) for row in rows for value in row.values()
    )


@pytest.fixture
def client_ip() -> str:
    """Returns an address that no test has used before, so it has no failed logins."""
    host = next(_hosts)
    return f"198.18.{host // 250}.{host % 250 + 1}"


@pytest.fixture
async def deps_with(stack: Stack, rpc: RpcCaller) -> AsyncIterator[Callable[..., Awaitable[UserDeps]]]:
    """Builds the service's parts in this process with other settings, on the stack's database."""
    async with AsyncExitStack() as exit_stack:

        async def make(**changed: Any) -> UserDeps:
            settings = UserSettings(
                _env_file=None,
                nats_password="not used",
                database_password=stack.secrets.get_or_create("user", "souk_database_password"),
                **{
                    "database_url": stack.dsn("user", with_password=False),
                    "keys_secret": stack.secrets.get_or_create("user", "souk_keys_secret"),
                    "bcrypt_cost": 4,
                    **changed,
                },
            )
            database = await exit_stack.enter_async_context(connect(settings, "user"))
            return build_deps(
                Resources(settings, database, RpcClient(rpc.client, 3.0), rpc.client, Metrics()),
                publish_revocations=RevocationPublisher(database, rpc.client).publish_now,
            )

        yield make


@pytest.fixture
async def fresh_deps(stack: Stack, deps_with: Callable[..., Awaitable[UserDeps]]) -> AsyncIterator[UserDeps]:
    """Returns the service's parts on a new database, which has no administrator and no signing key."""
    name = f"accounts_{new_id().hex}"
    owner = await asyncpg.connect(stack.postgres_url)
    await owner.execute(f"CREATE DATABASE {name} OWNER souk_user")
    server_dsn = stack.dsn("user", with_password=False).rpartition("/")[0]
    await migrate(f"{stack.dsn('user').rpartition('/')[0]}/{name}", migrations_of("user"))
    try:
        yield await deps_with(database_url=f"{server_dsn}/{name}")
    finally:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await owner.close()


@pytest.fixture
def mailed_tokens(stack: Stack, eventually: Callable[..., Awaitable[Any]]) -> MailedTokens:
    """Returns a function that waits for so many tokens mailed to an e-mail and returns them, oldest first."""

    async def wait_for_tokens(email: str, kind: NotificationKind, count: int = 1) -> list[str]:
        def find_tokens() -> list[str]:
            mails = list_mails(stack.data_dir.mail_dir, to=email)
            texts = [mail.text for mail in mails if mail.subject == SUBJECT_LINES[kind]]
            return [token for text in texts for token in _TOKEN_LINE.findall(text)]

        return list(await eventually(lambda: len(find_tokens()) >= count and find_tokens()))

    return wait_for_tokens


async def request_reset(rpc: RpcCaller, email: str, client_ip: str) -> None:
    """Requests a password reset."""
    await rpc(user.FORGOT_PASSWORD, {"email": email}, client=client_ip)
