"""Signing in with a second factor: codes, recovery codes, and guesses."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pyotp
import pytest

from contracts import user
from contracts.failure import InvalidRequest
from contracts.user import (
    InvalidCode,
    InvalidCredentials,
    SecondFactorRequired,
    TooManyAttempts,
)
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.handlers import sessions
from tests.services.user.conftest import (
    PASSWORD,
    Member,
    TotpMember,
    all_rows_as_text,
    count_rows,
    identity_of,
    start_totp,
)
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
DepsFactory = Callable[..., Awaitable[UserDeps]]


async def test_login_requires_a_code_and_a_code_works_once(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str
) -> None:
    code = await totp_member.fresh_code()
    with pytest.raises(SecondFactorRequired):
        await totp_member.login(rpc, None, client_ip)
    assert (await totp_member.login(rpc, code, client_ip)).user.totp
    with pytest.raises(InvalidCode):
        await totp_member.login(rpc, code, client_ip)


async def test_confirming_code_cannot_sign_in(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    authenticator = await start_totp(rpc, member)
    code = authenticator.now()
    await rpc(user.CONFIRM_TOTP, {"code": code}, identity=identity_of(member.session))
    with pytest.raises(InvalidCode):
        await rpc(user.LOGIN, {**member.credentials, "code": code}, client=client_ip)


async def test_code_reveals_nothing_about_accounts(rpc: RpcCaller, totp_member: TotpMember, client_ip: str) -> None:
    problems = []
    for email in (totp_member.member.email, f"{new_id().hex}@example.com"):
        for code in ({}, {"code": await totp_member.fresh_code()}):
            with pytest.raises(InvalidCredentials) as error:
                await rpc(user.LOGIN, {"email": email, "password": "wrong horse", **code}, client=f"{client_ip}{email}")
            problems.append(error.value.to_problem())
    assert all(problem == problems[0] for problem in problems)
    assert (await totp_member.login(rpc, await totp_member.fresh_code(), client_ip)).user.totp


@pytest.mark.parametrize(
    "codes", [["abcdef", "1234567", "12345", ""], ["\u0661" * 6, "\uff11" * 6, "\0" * 6, "🐎" * 6]]
)
async def test_malformed_codes_count_as_wrong(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str, codes: list[str]
) -> None:
    for code in codes:
        with pytest.raises(InvalidCode):
            await totp_member.login(rpc, code, client_ip)


@pytest.mark.parametrize("code", [123456, {"$gt": ""}, ["123456"], True, "1" * 129])
async def test_invalid_code_fields_are_refused(rpc: RpcCaller, member: Member, code: Any) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.LOGIN, {**member.credentials, "code": code})


async def test_code_opens_one_session_when_used_concurrently(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str
) -> None:
    for code in (await totp_member.fresh_code(), totp_member.recovery_codes[0]):
        attempts = (totp_member.login(rpc, code, f"{client_ip}-{n}-{len(code)}") for n in range(4))
        results = await asyncio.gather(*attempts, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["InvalidCode"] * 3 + ["SessionTokens"]
    assert await count_rows(totp_member) == 9


async def test_recovery_code_works_once_in_any_spelling(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str
) -> None:
    first, second, *_ = totp_member.recovery_codes
    await totp_member.login(rpc, first, client_ip)
    await totp_member.login(rpc, second.lower().replace("-", " "), client_ip)
    with pytest.raises(InvalidCode):
        await totp_member.login(rpc, first, client_ip)
    assert await count_rows(totp_member) == 8


async def test_guesses_from_many_addresses_wait_and_the_owner_gets_in(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str
) -> None:
    for _ in range(5):
        with pytest.raises(InvalidCode):
            await totp_member.login(rpc, totp_member.wrong_code, client_ip)
    code = await totp_member.fresh_code()
    with pytest.raises(TooManyAttempts) as same_address:
        await totp_member.login(rpc, code, client_ip)
    with pytest.raises(TooManyAttempts) as other_address:
        await totp_member.login(rpc, code, f"{client_ip}-2")
    assert (same_address.value.retry_after or 0) > 800
    assert 0 < (other_address.value.retry_after or 0) <= 30
    await totp_member.login(rpc, totp_member.recovery_codes[0], f"{client_ip}-2")
    await totp_member.connection.execute(
        "UPDATE second_factor SET wrong_at = wrong_at - interval '30 s' WHERE account_id = $1",
        totp_member.identity.user_id,
    )
    await totp_member.login(rpc, code, f"{client_ip}-2")
    assert not await totp_member.connection.fetchval(
        "SELECT wrong FROM second_factor WHERE account_id = $1", totp_member.identity.user_id
    )
    noted = "SELECT count(*) FROM trail WHERE act = 'user.codes_refused' AND subject = $1"
    assert await totp_member.connection.fetchval(noted, str(totp_member.identity.user_id)) == 1


async def test_wrong_recovery_codes_cause_no_wait(rpc: RpcCaller, totp_member: TotpMember, client_ip: str) -> None:
    for n in range(6):
        with pytest.raises(InvalidCode):
            await totp_member.login(rpc, "A" * 24, f"{client_ip}-{n}")
    await totp_member.login(rpc, await totp_member.fresh_code(), client_ip)


async def test_concurrent_guesses_count_like_consecutive_ones(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str
) -> None:
    attempts = (totp_member.login(rpc, totp_member.wrong_code, f"{client_ip}-{n}") for n in range(12))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    kinds = [type(result) for result in results]
    assert (kinds.count(InvalidCode), kinds.count(TooManyAttempts)) == (5, 7)


async def test_cancelled_login_does_not_use_the_code_up(
    totp_member: TotpMember,
    rpc: RpcCaller,
    deps_with: DepsFactory,
    client_ip: str,
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    """The login is cancelled after the code was used and before the commit, where a lock holds it up."""
    with pytest.raises(InvalidCode):
        await totp_member.login(rpc, totp_member.wrong_code, client_ip)
    code, deps = await totp_member.fresh_code(), await deps_with()
    body = user.Login.model_validate({**totp_member.member.credentials, "code": code})
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
    async with totp_member.connection.transaction():
        await totp_member.connection.execute("SELECT FROM login_failure WHERE address = $1 FOR UPDATE", client_ip)
        dying = asyncio.create_task(sessions.login(deps, Request(body, client_ip=client_ip)))
        await eventually(lambda: totp_member.connection.fetchval(waiting))
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    await totp_member.login(rpc, code, client_ip)


async def test_codes_and_secrets_are_neither_stored_nor_logged(
    rpc: RpcCaller, member: Member, database: Databases, stack: Stack, client_ip: str
) -> None:
    identity = identity_of(member.session)
    key = {"identity": identity, "key": new_id().hex, "client": client_ip}
    pending = await rpc(user.START_TOTP, {"password": PASSWORD}, **key)
    code = pyotp.TOTP(pending.secret).now()
    confirmed = await rpc(user.CONFIRM_TOTP, {"code": code}, **key)
    first, second, *_ = confirmed.recovery_codes
    await rpc(user.LOGIN, {**member.credentials, "code": first}, key=new_id().hex, client=client_ip)
    with pytest.raises(InvalidRequest):
        await rpc(user.LOGIN, {**member.credentials, "code": [second]}, client=client_ip)
    stored, logged = await all_rows_as_text(await database("user")), stack.data_dir.log_file("user").read_text()
    for secret in (pending.secret, first, second, second.replace("-", ""), f'"{code}"'):
        assert secret not in stored
        assert secret not in logged
        assert secret not in repr((pending, confirmed))
