"""Registration of customers, and administrators made by the operator."""

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
from tests.services.user.conftest import PASSWORD, Member, all_rows_as_text, registration_body
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]


async def test_registration_signs_in(rpc: RpcCaller) -> None:
    body = registration_body()
    session = await rpc(user.REGISTER, body)
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
    assert await rpc(user.PROFILE, identity=me) == session.user


async def test_registration_event_has_no_personal_data(rpc: RpcCaller, events: EventRecorder) -> None:
    session = await rpc(user.REGISTER, registration_body())
    received = await events.wait_for(session.user.id, "registered")
    assert received.event.model_dump() == {"user_id": session.user.id}
    assert received.headers[headers.EVENT_TYPE] == "souk.user.registered"


@pytest.mark.parametrize(
    "respell", [str.upper, str.title, lambda email: email.replace("@", "\u200b@"), lambda email: "\uff41" + email[1:]]
)
async def test_email_has_one_account_in_any_spelling(rpc: RpcCaller, respell: Callable[[str], str]) -> None:
    body = registration_body(email=f"a{new_id().hex}@example.com")
    await rpc(user.REGISTER, body)
    with pytest.raises(EmailTaken):
        await rpc(user.REGISTER, {**body, "email": respell(body["email"])})


async def test_email_is_stored_as_written(rpc: RpcCaller) -> None:
    email = f"Ada.{new_id().hex}@Example.com"
    assert (await rpc(user.REGISTER, registration_body(email=email))).user.email == email


@pytest.mark.parametrize("password", ["7 bytes", "a" * 73, "🐎" * 19, "nul\0nul\0nul", "", 12345678, None])
async def test_invalid_passwords_are_refused(rpc: RpcCaller, password: object) -> None:
    with pytest.raises(InvalidRequest) as error:
        await rpc(user.REGISTER, registration_body(password=password))
    assert {error.pointer for error in error.value.errors} == {"/password"}


@pytest.mark.parametrize("password", ["8 bytes!", "a" * 72, "🐎" * 18, " spaces around "])
async def test_valid_passwords_sign_in(rpc: RpcCaller, password: str, client_ip: str) -> None:
    body = registration_body(password=password)
    await rpc(user.REGISTER, body)
    await rpc(user.LOGIN, {"email": body["email"], "password": password})
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, {"email": body["email"], "password": password[:-1]}, client=client_ip)


@pytest.mark.parametrize("password", ["password", "FOOTBALL", "12345678", "Password1", "qwertyuiop"])
async def test_common_passwords_are_refused(rpc: RpcCaller, password: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        await rpc(user.REGISTER, registration_body(password=password))
    assert [error.pointer for error in error.value.errors] == ["/password"]


async def test_international_domain_is_one_account_in_both_spellings(rpc: RpcCaller) -> None:
    name = new_id().hex
    await rpc(user.REGISTER, registration_body(email=f"{name}@bücher.example"))
    for domain in ("xn--bcher-kva.example", "BÜCHER.example", "b\u00fc\u00adcher.example"):
        with pytest.raises(EmailTaken):
            await rpc(user.REGISTER, registration_body(email=f"{name}@{domain}"))


async def test_probing_for_taken_emails_is_throttled(rpc: RpcCaller, client_ip: str) -> None:
    body = registration_body()
    await rpc(user.REGISTER, body, client=client_ip)
    for _ in range(50):
        with pytest.raises(EmailTaken):
            await rpc(user.REGISTER, body, client=client_ip)
    for stopped in (body, registration_body()):
        with pytest.raises(TooManyAttempts):
            await rpc(user.REGISTER, stopped, client=client_ip)
    await rpc(user.REGISTER, registration_body(), client="203.0.113.79")


async def test_password_must_differ_from_the_email(rpc: RpcCaller) -> None:
    body = registration_body()
    with pytest.raises(InvalidRequest) as error:
        await rpc(user.REGISTER, {**body, "password": body["email"].upper()})
    assert [error.pointer for error in error.value.errors] == ["/password"]


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
async def test_invalid_registrations_are_refused(rpc: RpcCaller, changed: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.REGISTER, registration_body(**changed))


async def test_concurrent_registrations_create_one_account(rpc: RpcCaller, database: Databases) -> None:
    body = registration_body()
    spellings = [body["email"].upper() if n % 2 else body["email"] for n in range(20)]
    results = await asyncio.gather(
        *(rpc(user.REGISTER, {**body, "email": email}) for email in spellings), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["EmailTaken"] * 19 + ["SessionTokens"]
    stored = await (await database("user")).fetchval("SELECT count(*) FROM account WHERE email_key = $1", body["email"])
    assert stored == 1


async def test_repeated_request_returns_the_same_tokens(rpc: RpcCaller) -> None:
    body, key = registration_body(), new_id().hex
    first, _ = await rpc.raw(user.REGISTER, body, key=key)
    again, header = await rpc.raw(user.REGISTER, body, key=key)
    assert again == first
    assert header[headers.REPLAYED] == "true"
    with pytest.raises(IdempotencyKeyReused):
        await rpc(user.REGISTER, registration_body(), key=key)


async def test_concurrent_repeated_requests_create_one_account(rpc: RpcCaller) -> None:
    body, key = registration_body(), new_id().hex
    answers = await asyncio.gather(*(rpc.raw(user.REGISTER, body, key=key) for _ in range(10)))
    assert len({answer for answer, _ in answers}) == 1


async def test_secrets_are_neither_stored_nor_logged(
    rpc: RpcCaller, database: Databases, stack: Stack, client_ip: str
) -> None:
    password = f"secret-{new_id().hex}"
    body = registration_body(password=password)
    session = await rpc(user.REGISTER, body, key=new_id().hex)
    await rpc(user.LOGIN, {"email": body["email"], "password": password}, key=new_id().hex)
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, {"email": body["email"], "password": password + "!"}, client=client_ip)
    with pytest.raises(InvalidRequest):
        await rpc(user.REGISTER, {**body, "password": [password]})
    secrets = (password, session.access_token, session.refresh_token)
    stored = await all_rows_as_text(await database("user"))
    logged = stack.data_dir.log_file("user").read_text()
    for secret in secrets:
        assert secret not in stored
        assert secret not in logged
        assert secret not in repr(session)
    assert body["email"] not in logged


async def test_operator_makes_an_administrator_once(operator: RpcCaller, rpc: RpcCaller, events: EventRecorder) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    made = await operator(user.MAKE_ADMIN, body)
    assert made.role is Role.ADMIN
    assert (await rpc(user.LOGIN, body)).user == made
    assert await operator(user.MAKE_ADMIN, {**body, "password": "another password"}) == made
    assert (await rpc(user.LOGIN, body)).user == made
    await events.wait_for(made.id, "registered")


async def test_promoted_customer_gets_the_operators_password(
    operator: RpcCaller, rpc: RpcCaller, member: Member, client_ip: str
) -> None:
    """The person who registered the e-mail may have been a stranger: the old password and sessions are void."""
    theirs = "another password"
    made = await operator(user.MAKE_ADMIN, {"email": member.email.upper(), "password": theirs})
    assert (made.id, made.role, made.email) == (member.session.user.id, Role.ADMIN, member.email)
    assert (await rpc(user.LOGIN, {**member.credentials, "password": theirs})).user.role is Role.ADMIN
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials, client=client_ip)
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})


async def test_concurrent_requests_make_one_administrator(operator: RpcCaller) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    made = await asyncio.gather(*(operator(user.MAKE_ADMIN, body) for _ in range(5)))
    assert len({one.id for one in made}) == 1
