"""Password resets and changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from contracts import user
from contracts.failure import Fail, InvalidRequest
from contracts.notification import NotificationKind
from contracts.user import InvalidCredentials, InvalidEmailToken, InvalidRefreshToken, TooManyAttempts
from infra.foundation.ids import new_id
from infra.ops.devstack.mail_files import list_mails
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, MailedTokens, Member, identity_of, request_reset
from tests.support.event_recorder import EventRecorder
from tests.support.http import HttpClient, register_customer
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Eventually = Callable[..., Awaitable[Any]]
NEW = "another password"


async def test_password_reset_ends_every_session(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, client_ip: str, events: EventRecorder
) -> None:
    other_session = await rpc(user.LOGIN, member.credentials)
    await request_reset(rpc, member.email.upper(), client_ip)
    (token,) = await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD)
    await rpc(user.RESET_PASSWORD, {"token": token, "password": NEW})
    for session in (member.session, other_session):
        with pytest.raises(InvalidRefreshToken):
            await rpc(user.REFRESH, {"refresh_token": session.refresh_token})
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials, client=client_ip)
    again = await rpc(user.LOGIN, {**member.credentials, "password": NEW})
    assert again.user.email_verified, "the token proves that the owner reads the mail"
    with pytest.raises(InvalidEmailToken):
        await rpc(user.RESET_PASSWORD, {"token": token, "password": "a third password"})
    await events.wait_for(member.session.user.id, "password_changed")


async def test_token_resets_one_password_when_used_concurrently(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, client_ip: str
) -> None:
    await request_reset(rpc, member.email, client_ip)
    (token,) = await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD)
    bodies = [{"token": token, "password": f"{NEW} {n}"} for n in range(10)]
    results = await asyncio.gather(*(rpc(user.RESET_PASSWORD, body) for body in bodies), return_exceptions=True)
    assert sum(isinstance(result, InvalidEmailToken) for result in results) == 9


async def test_new_reset_token_voids_the_previous_one(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, client_ip: str
) -> None:
    await request_reset(rpc, member.email, client_ip)
    await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD)
    await request_reset(rpc, member.email, client_ip)
    first, second = await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD, 2)
    with pytest.raises(InvalidEmailToken):
        await rpc(user.RESET_PASSWORD, {"token": first, "password": NEW})
    await rpc(user.RESET_PASSWORD, {"token": second, "password": NEW})


async def test_expired_token_is_refused_and_deleted(
    rpc: RpcCaller,
    member: Member,
    mailed_tokens: MailedTokens,
    client_ip: str,
    database: Databases,
    deps_with: Callable[..., Awaitable[UserDeps]],
) -> None:
    await request_reset(rpc, member.email, client_ip)
    (token,) = await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD)
    connection = await database("user")
    await connection.execute(
        "UPDATE proof SET expires_at = now() - interval '1 s' WHERE account_id = $1", member.session.user.id
    )
    with pytest.raises(InvalidEmailToken):
        await rpc(user.RESET_PASSWORD, {"token": token, "password": NEW})
    await delete_expired(await deps_with())
    assert not await connection.fetchval("SELECT count(*) FROM proof WHERE account_id = $1", member.session.user.id)


@pytest.mark.parametrize("token", ["unknown", "' OR true --", "🐎", "a" * 256])
async def test_unknown_token_is_refused(rpc: RpcCaller, token: str) -> None:
    with pytest.raises(InvalidEmailToken):
        await rpc(user.RESET_PASSWORD, {"token": token, "password": NEW})
    with pytest.raises(InvalidEmailToken):
        await rpc(user.VERIFY_EMAIL, {"token": token})


@pytest.mark.parametrize("password", ["short", "football", "Football", "x" * 73])
async def test_refused_password_does_not_use_the_token_up(
    rpc: RpcCaller, member: Member, mailed_tokens: MailedTokens, client_ip: str, password: str
) -> None:
    await request_reset(rpc, member.email, client_ip)
    (token,) = await mailed_tokens(member.email, NotificationKind.RESET_PASSWORD)
    with pytest.raises(InvalidRequest):
        await rpc(user.RESET_PASSWORD, {"token": token, "password": password})
    await rpc(user.RESET_PASSWORD, {"token": token, "password": NEW})


async def test_unknown_email_gets_the_same_reply_and_no_mail(
    rpc: RpcCaller, client_ip: str, database: Databases, eventually: Eventually, stack: Stack
) -> None:
    email = f"{new_id().hex}@example.com"
    await request_reset(rpc, email, client_ip)
    connection = await database("user")

    async def looked_up() -> bool:
        return not await connection.fetchval("SELECT count(*) FROM forgotten WHERE email_key = $1", email)

    await eventually(looked_up)
    assert list_mails(stack.data_dir.mail_dir, to=email) == []


@pytest.mark.parametrize("email", ["not an address", "", "' OR true --"])
async def test_invalid_email_gets_the_same_reply(rpc: RpcCaller, client_ip: str, email: str) -> None:
    await request_reset(rpc, email, client_ip)


async def test_account_gets_three_mails_and_further_ones_are_dropped_silently(
    rpc: RpcCaller, member: Member, database: Databases, client_ip: str, eventually: Eventually
) -> None:
    for n in range(6):
        await request_reset(rpc, member.email, f"{client_ip}0{n}")
    await rpc(user.REQUEST_VERIFICATION, identity=identity_of(member.session), client=client_ip)
    accounts, mails = await database("user"), await database("notification")

    async def looked_up() -> bool:
        count_rows = "SELECT count(*) FROM forgotten WHERE email_key = $1"
        queued = "SELECT count(*) FROM delivery WHERE user_id = $1"
        return (
            await accounts.fetchval(count_rows, member.email) == 0
            and await mails.fetchval(queued, member.session.user.id) == 1 + 3
        )

    await eventually(looked_up)


async def test_address_is_refused_after_fifty_mail_requests(rpc: RpcCaller, client_ip: str) -> None:
    for _ in range(50):
        await request_reset(rpc, f"{new_id().hex}@example.com", client_ip)
    with pytest.raises(TooManyAttempts) as error:
        await request_reset(rpc, f"{new_id().hex}@example.com", client_ip)
    assert 800 < (error.value.retry_after or 0) <= 900


async def test_password_change_ends_the_other_sessions(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    other_session = await rpc(user.LOGIN, member.credentials)
    body = {"current_password": PASSWORD, "new_password": NEW}
    await rpc(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=client_ip)
    await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": other_session.refresh_token})
    await rpc(user.LOGIN, {**member.credentials, "password": NEW})


async def test_wrong_current_password_counts_as_a_failed_login(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    body = {"current_password": "wrong horse", "new_password": NEW}
    results = []
    for _ in range(6):
        with pytest.raises(Fail) as error:
            await rpc(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=client_ip)
        results.append(error.value.code)
    assert results == ["invalid_credentials"] * 5 + ["too_many_attempts"]


async def test_new_password_must_not_be_common(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    body = {"current_password": PASSWORD, "new_password": "Password1"}
    with pytest.raises(InvalidRequest) as error:
        await rpc(user.CHANGE_PASSWORD, body, identity=identity_of(member.session), client=client_ip)
    assert [error.pointer for error in error.value.errors] == ["/new_password"]


async def test_password_reset_and_verification_over_http(http: HttpClient, mailed_tokens: MailedTokens) -> None:
    customer = await register_customer(http)
    for email in (customer.email, f"{new_id().hex}@example.com"):
        answered = await http.post("/auth/password/forgot", {"email": email})
        assert (answered.status, answered.json) == (202, {})
    (token,) = await mailed_tokens(customer.email, NotificationKind.RESET_PASSWORD)
    answered = await http.post("/auth/password/reset", {"token": token, "password": NEW})
    assert answered.status == 204
    (token,) = await mailed_tokens(customer.email, NotificationKind.VERIFY_EMAIL)
    assert (await http.post("/auth/email/verify", {"token": token})).status == 204
    assert (await http.post("/auth/email/verify", {"token": token})).code == "invalid_proof"
