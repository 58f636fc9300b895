"""Opening accounts."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import headers, user
from contracts.failure import IdempotencyKeyReused, InvalidRequest
from contracts.identity import Identity, Role
from contracts.user import EmailTaken, InvalidCredentials, InvalidRefreshToken, TooManyAttempts
from infra.foundation.ids import new_id
from infra.ops.devstack.stack import Stack
from tests.services.user.conftest import PASSWORD, Member, newcomer
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]


async def test_somebody_registers_and_is_signed_in(ask: RpcCaller) -> None:
    body = newcomer()
    session = await ask(user.REGISTER, body)
    assert (session.token_type, session.expires_in) == ("Bearer", 900)
    assert session.user.model_dump(exclude={"id", "created_at", "updated_at"}) == {
        "email": body["email"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "role": Role.CUSTOMER,
        "is_active": True,
        "email_verified": False,
        "totp": False,
    }
    me = Identity(user_id=session.user.id, role=session.user.role)
    assert await ask(user.PROFILE, identity=me) == session.user


async def test_that_somebody_registered_is_said_without_personal_data(ask: RpcCaller, events: EventRecorder) -> None:
    session = await ask(user.REGISTER, newcomer())
    heard = await events.wait_for(session.user.id, "registered")
    assert heard.event.model_dump() == {"user_id": session.user.id}
    assert heard.headers[headers.EVENT_TYPE] == "souk.user.registered"


@pytest.mark.parametrize(
    "respell", [str.upper, str.title, lambda email: email.replace("@", "\u200b@"), lambda email: "\uff41" + email[1:]]
)
async def test_an_email_has_one_account_however_it_is_spelled(ask: RpcCaller, respell: Callable[[str], str]) -> None:
    body = newcomer(email=f"a{new_id().hex}@example.com")
    await ask(user.REGISTER, body)
    with pytest.raises(EmailTaken):
        await ask(user.REGISTER, {**body, "email": respell(body["email"])})


async def test_the_email_is_kept_as_it_was_written(ask: RpcCaller) -> None:
    email = f"Ada.{new_id().hex}@Example.com"
    assert (await ask(user.REGISTER, newcomer(email=email))).user.email == email


@pytest.mark.parametrize("password", ["7 bytes", "a" * 73, "🐎" * 19, "nul\0nul\0nul", "", 12345678, None])
async def test_a_password_that_cannot_be_is_refused(ask: RpcCaller, password: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(user.REGISTER, newcomer(password=password))
    assert {error.pointer for error in refused.value.errors} == {"/password"}


@pytest.mark.parametrize("password", ["8 bytes!", "a" * 72, "🐎" * 18, " spaces around "])
async def test_a_password_that_can_be_opens_the_account_again(ask: RpcCaller, password: str, address: str) -> None:
    body = newcomer(password=password)
    await ask(user.REGISTER, body)
    await ask(user.LOGIN, {"email": body["email"], "password": password})
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, {"email": body["email"], "password": password[:-1]}, client=address)


@pytest.mark.parametrize("password", ["password", "FOOTBALL", "12345678", "Password1", "qwertyuiop"])
async def test_a_password_that_everybody_tries_first_is_refused(ask: RpcCaller, password: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(user.REGISTER, newcomer(password=password))
    assert [error.pointer for error in refused.value.errors] == ["/password"]


async def test_a_domain_has_one_account_in_either_of_its_spellings(ask: RpcCaller) -> None:
    name = new_id().hex
    await ask(user.REGISTER, newcomer(email=f"{name}@bücher.example"))
    for domain in ("xn--bcher-kva.example", "BÜCHER.example", "b\u00fc\u00adcher.example"):
        with pytest.raises(EmailTaken):
            await ask(user.REGISTER, newcomer(email=f"{name}@{domain}"))


async def test_who_keeps_asking_which_emails_are_taken_is_stopped(ask: RpcCaller, address: str) -> None:
    body = newcomer()
    await ask(user.REGISTER, body, client=address)
    for _ in range(50):
        with pytest.raises(EmailTaken):
            await ask(user.REGISTER, body, client=address)
    for stopped in (body, newcomer()):
        with pytest.raises(TooManyAttempts):
            await ask(user.REGISTER, stopped, client=address)
    await ask(user.REGISTER, newcomer(), client="203.0.113.79")


async def test_the_password_is_not_the_email(ask: RpcCaller) -> None:
    body = newcomer()
    with pytest.raises(InvalidRequest) as refused:
        await ask(user.REGISTER, {**body, "password": body["email"].upper()})
    assert [error.pointer for error in refused.value.errors] == ["/password"]


@pytest.mark.parametrize(
    "changed",
    [
        {"email": "no address"},
        {"email": "ada@example.com\r\nBcc: all@example.com"},
        {"email": "a" * 250 + "@example.com"},
        {"email": {"$gt": ""}},
        {"first_name": ""},
        {"last_name": "x" * 101},
        {"first_name": "Ada\r\nX-Header: 1"},
        {"role": "admin"},
        {"is_active": True},
    ],
)
async def test_what_cannot_be_registered_is_refused(ask: RpcCaller, changed: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.REGISTER, newcomer(**changed))


async def test_of_many_who_register_one_email_at_once_one_gets_it(ask: RpcCaller, database: Databases) -> None:
    body = newcomer()
    spellings = [body["email"].upper() if n % 2 else body["email"] for n in range(20)]
    outcomes = await asyncio.gather(
        *(ask(user.REGISTER, {**body, "email": email}) for email in spellings), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken"] * 19 + ["Session"]
    kept = await (await database("user")).fetchval("SELECT count(*) FROM account WHERE email_key = $1", body["email"])
    assert kept == 1


async def test_the_same_request_again_has_the_same_tokens(ask: RpcCaller) -> None:
    body, key = newcomer(), new_id().hex
    first, _ = await ask.raw(user.REGISTER, body, key=key)
    again, header = await ask.raw(user.REGISTER, body, key=key)
    assert again == first
    assert header[headers.REPLAYED] == "true"
    with pytest.raises(IdempotencyKeyReused):
        await ask(user.REGISTER, newcomer(), key=key)


async def test_the_same_request_many_times_at_once_opens_one_account(ask: RpcCaller) -> None:
    body, key = newcomer(), new_id().hex
    answers = await asyncio.gather(*(ask.raw(user.REGISTER, body, key=key) for _ in range(10)))
    assert len({answer for answer, _ in answers}) == 1


async def test_no_secret_is_kept_or_logged(ask: RpcCaller, database: Databases, stack: Stack, address: str) -> None:
    password = f"secret-{new_id().hex}"
    body = newcomer(password=password)
    session = await ask(user.REGISTER, body, key=new_id().hex)
    await ask(user.LOGIN, {"email": body["email"], "password": password}, key=new_id().hex)
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, {"email": body["email"], "password": password + "!"}, client=address)
    with pytest.raises(InvalidRequest):
        await ask(user.REGISTER, {**body, "password": [password]})
    secrets = (password, session.access_token, session.refresh_token)
    kept = await everything(await database("user"))
    logged = stack.layout.log("user").read_text()
    for secret in secrets:
        assert secret not in kept
        assert secret not in logged
        assert secret not in repr(session)
    assert body["email"] not in logged


async def everything(connection: asyncpg.Connection) -> str:
    """Every row of every table, with bytes as text."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [row for (table,) in tables for row in await connection.fetch(f'SELECT * FROM "{table}"')]  # noqa: S608
    return "\n".join(
        value.decode("latin-1") if isinstance(value, bytes) else str(value) for row in rows for value in row.values()
    )


async def test_the_operator_makes_an_administrator_once(
    operator: RpcCaller, ask: RpcCaller, events: EventRecorder
) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    made = await operator(user.MAKE_ADMIN, body)
    assert made.role is Role.ADMIN
    assert (await ask(user.LOGIN, body)).user == made
    assert await operator(user.MAKE_ADMIN, {**body, "password": "another password"}) == made
    assert (await ask(user.LOGIN, body)).user == made
    await events.wait_for(made.id, "registered")


async def test_a_customer_who_becomes_an_administrator_has_the_operators_password(
    operator: RpcCaller, ask: RpcCaller, member: Member, address: str
) -> None:
    """Whoever registered that e-mail first was perhaps a stranger: old password and sessions are worth nothing."""
    theirs = "another password"
    made = await operator(user.MAKE_ADMIN, {"email": member.email.upper(), "password": theirs})
    assert (made.id, made.role, made.email) == (member.session.user.id, Role.ADMIN, member.email)
    assert (await ask(user.LOGIN, {**member.credentials, "password": theirs})).user.role is Role.ADMIN
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, member.credentials, client=address)
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})


async def test_an_administrator_made_twice_at_once_is_one(operator: RpcCaller) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    made = await asyncio.gather(*(operator(user.MAKE_ADMIN, body) for _ in range(5)))
    assert len({one.id for one in made}) == 1
