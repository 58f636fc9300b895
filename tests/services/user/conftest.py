"""People with accounts, and the user service's own parts over the stack's database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import UUID

import asyncpg
import jwt
import pyotp
import pytest

from contracts import user
from contracts.identity import Identity
from contracts.user import SessionTokens
from infra.database.migrate import migrate, migrations_of
from infra.database.postgres import connect
from infra.foundation.ids import new_id, now
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc import RpcClient
from infra.ops.devstack.stack import Stack
from infra.runtime.service import Resources
from services.user.app import UserSettings, build_deps
from services.user.deps import UserDeps
from tests.support.rpc import RpcCaller

PASSWORD = "correct horse battery"
_hosts = count(1)


@dataclass(frozen=True)
class Member:
    """Somebody with an account, as they signed in when they registered."""

    email: str
    session: SessionTokens

    @property
    def credentials(self) -> dict[str, str]:
        return {"email": self.email, "password": PASSWORD}


def identity_of(session: SessionTokens) -> Identity:
    """As the edge reads it from the access token."""
    said = jwt.decode(session.access_token, options={"verify_signature": False})
    return Identity(user_id=session.user.id, role=session.user.role, session_id=UUID(said["sid"]))


def newcomer(**changed: Any) -> dict[str, Any]:
    """What somebody whom nobody has met before registers with."""
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "Lovelace"}
    return {**body, **changed}


@pytest.fixture
async def member(ask: RpcCaller) -> Member:
    body = newcomer()
    return Member(body["email"], await ask(user.REGISTER, body))


@dataclass(frozen=True)
class Guarded:
    """Somebody whose account has a second factor, with the authenticator and the recovery codes."""

    member: Member
    who: Identity
    authenticator: pyotp.TOTP
    recovery_codes: list[str]
    store: asyncpg.Connection

    async def code(self) -> str:
        """A code that is good, as if time had passed since the last one."""
        await self.store.execute("UPDATE second_factor SET last_step = 1 WHERE account_id = $1", self.who.user_id)
        return self.authenticator.now()

    @property
    def wrong(self) -> str:
        """One that is not good now, and will not be in a while."""
        step = self.authenticator.timecode(now())
        good = {self.authenticator.generate_otp(step + off) for off in range(-2, 10)}
        return next(code for code in map("{:06}".format, range(100)) if code not in good)

    async def tried(self, ask: RpcCaller, code: str | None, address: str = "203.0.113.40") -> SessionTokens:
        """A login with a code."""
        said = {} if code is None else {"code": code}
        session: SessionTokens = await ask(user.LOGIN, {**self.member.credentials, **said}, client=address)
        return session


async def started(ask: RpcCaller, member: Member) -> pyotp.TOTP:
    pending = await ask(user.START_TOTP, {"password": PASSWORD}, identity=identity_of(member.session))
    read = pyotp.parse_uri(pending.uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.name) == (pending.secret, member.email)
    return read


async def left(guarded: Guarded, table: str = "recovery_code") -> int:
    many: int = await guarded.store.fetchval(
        f"SELECT count(*) FROM {table} WHERE account_id = $1",  # noqa: S608 - the test's own
        guarded.who.user_id,
    )
    return many


@pytest.fixture
async def guarded(ask: RpcCaller, member: Member, database: Callable[[str], Awaitable[asyncpg.Connection]]) -> Guarded:
    authenticator, who = await started(ask, member), identity_of(member.session)
    confirmed = await ask(user.CONFIRM_TOTP, {"code": authenticator.now()}, identity=who)
    return Guarded(member, who, authenticator, confirmed.recovery_codes, await database("user"))


@pytest.fixture
def address() -> str:
    """One that nobody has come from before, and so without failed logins."""
    host = next(_hosts)
    return f"198.18.{host // 250}.{host % 250 + 1}"


@pytest.fixture
async def desk_with(stack: Stack, ask: RpcCaller) -> AsyncIterator[Callable[..., Awaitable[UserDeps]]]:
    """The parts of the service in this process, with settings of the test's own, on the real database."""
    async with AsyncExitStack() as opened:

        async def make(**changed: Any) -> UserDeps:
            settings = UserSettings(
                _env_file=None,
                nats_password="not used",
                database_password=stack.vault.secret("user", "souk_database_password"),
                **{
                    "database_url": stack.dsn("user", with_password=False),
                    "keys_secret": stack.vault.secret("user", "souk_keys_secret"),
                    "bcrypt_cost": 4,
                    **changed,
                },
            )
            database = await opened.enter_async_context(connect(settings, "user"))
            return build_deps(Resources(settings, database, RpcClient(ask.client, 3.0), ask.client, Metrics()))

        yield make


@pytest.fixture
async def own_desk(stack: Stack, desk_with: Callable[..., Awaitable[UserDeps]]) -> AsyncIterator[UserDeps]:
    """The same on a database of the test's own: nobody is an administrator there yet, and there is no signing key."""
    name = f"accounts_{new_id().hex}"
    owner = await asyncpg.connect(stack.postgres_url)
    await owner.execute(f"CREATE DATABASE {name} OWNER souk_user")
    here = stack.dsn("user", with_password=False).rpartition("/")[0]
    await migrate(f"{stack.dsn('user').rpartition('/')[0]}/{name}", migrations_of("user"))
    try:
        yield await desk_with(database_url=f"{here}/{name}")
    finally:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await owner.close()
