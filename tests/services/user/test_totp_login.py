"""Signing in where an account has a second factor: codes, recovery codes, and who guesses them."""

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
from infra.messaging.rpc import Request
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.handlers import sessions
from tests.services.user.conftest import PASSWORD, Guarded, Member, identity_of, left, started
from tests.services.user.test_registration import everything
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Desks = Callable[..., Awaitable[UserDeps]]


async def test_a_login_needs_a_code_and_a_code_is_good_once(ask: RpcCaller, guarded: Guarded, address: str) -> None:
    code = await guarded.code()
    with pytest.raises(SecondFactorRequired):
        await guarded.tried(ask, None, address)
    assert (await guarded.tried(ask, code, address)).user.totp
    with pytest.raises(InvalidCode):
        await guarded.tried(ask, code, address)


async def test_the_code_that_confirmed_it_opens_nothing(ask: RpcCaller, member: Member, address: str) -> None:
    authenticator = await started(ask, member)
    code = authenticator.now()
    await ask(user.CONFIRM_TOTP, {"code": code}, identity=identity_of(member.session))
    with pytest.raises(InvalidCode):
        await ask(user.LOGIN, {**member.credentials, "code": code}, client=address)


async def test_a_code_tells_nothing_about_accounts(ask: RpcCaller, guarded: Guarded, address: str) -> None:
    problems = []
    for email in (guarded.member.email, f"{new_id().hex}@example.com"):
        for said in ({}, {"code": await guarded.code()}):
            with pytest.raises(InvalidCredentials) as refused:
                await ask(user.LOGIN, {"email": email, "password": "wrong horse", **said}, client=f"{address}{email}")
            problems.append(refused.value.to_problem())
    assert all(problem == problems[0] for problem in problems)
    assert (await guarded.tried(ask, await guarded.code(), address)).user.totp


@pytest.mark.parametrize(
    "codes", [["abcdef", "1234567", "12345", ""], ["\u0661" * 6, "\uff11" * 6, "\0" * 6, "🐎" * 6]]
)
async def test_what_is_no_code_is_a_wrong_code(
    ask: RpcCaller, guarded: Guarded, address: str, codes: list[str]
) -> None:
    for code in codes:
        with pytest.raises(InvalidCode):
            await guarded.tried(ask, code, address)


@pytest.mark.parametrize("code", [123456, {"$gt": ""}, ["123456"], True, "1" * 129])
async def test_what_cannot_be_one_is_refused(ask: RpcCaller, member: Member, code: Any) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.LOGIN, {**member.credentials, "code": code})


async def test_one_code_opens_one_session_however_many_bring_it_at_once(
    ask: RpcCaller, guarded: Guarded, address: str
) -> None:
    for code in (await guarded.code(), guarded.recovery_codes[0]):
        tries = (guarded.tried(ask, code, f"{address}-{n}-{len(code)}") for n in range(4))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvalidCode"] * 3 + ["Session"]
    assert await left(guarded) == 9


async def test_a_recovery_code_opens_it_once_however_it_is_typed(
    ask: RpcCaller, guarded: Guarded, address: str
) -> None:
    first, second, *_ = guarded.recovery_codes
    await guarded.tried(ask, first, address)
    await guarded.tried(ask, second.lower().replace("-", " "), address)
    with pytest.raises(InvalidCode):
        await guarded.tried(ask, first, address)
    assert await left(guarded) == 8


async def test_who_guesses_from_many_addresses_waits_and_the_owner_gets_in(
    ask: RpcCaller, guarded: Guarded, address: str
) -> None:
    for _ in range(5):
        with pytest.raises(InvalidCode):
            await guarded.tried(ask, guarded.wrong, address)
    code = await guarded.code()
    with pytest.raises(TooManyAttempts) as here:
        await guarded.tried(ask, code, address)
    with pytest.raises(TooManyAttempts) as elsewhere:
        await guarded.tried(ask, code, f"{address}-2")
    assert (here.value.retry_after or 0) > 800
    assert 0 < (elsewhere.value.retry_after or 0) <= 30
    await guarded.tried(ask, guarded.recovery_codes[0], f"{address}-2")
    await guarded.store.execute(
        "UPDATE second_factor SET wrong_at = wrong_at - interval '30 s' WHERE account_id = $1", guarded.who.user_id
    )
    await guarded.tried(ask, code, f"{address}-2")
    assert not await guarded.store.fetchval(
        "SELECT wrong FROM second_factor WHERE account_id = $1", guarded.who.user_id
    )
    noted = "SELECT count(*) FROM trail WHERE act = 'user.codes_refused' AND subject = $1"
    assert await guarded.store.fetchval(noted, str(guarded.who.user_id)) == 1


async def test_wrong_recovery_codes_keep_nobody_waiting(ask: RpcCaller, guarded: Guarded, address: str) -> None:
    for n in range(6):
        with pytest.raises(InvalidCode):
            await guarded.tried(ask, "A" * 24, f"{address}-{n}")
    await guarded.tried(ask, await guarded.code(), address)


async def test_guesses_at_once_count_like_guesses_in_turn(ask: RpcCaller, guarded: Guarded, address: str) -> None:
    tries = (guarded.tried(ask, guarded.wrong, f"{address}-{n}") for n in range(12))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    told = [type(outcome) for outcome in outcomes]
    assert (told.count(InvalidCode), told.count(TooManyAttempts)) == (5, 7)


async def test_a_login_that_dies_on_the_way_uses_no_code_up(
    guarded: Guarded, ask: RpcCaller, desk_with: Desks, address: str, eventually: Callable[..., Awaitable[Any]]
) -> None:
    """It ends after the code was taken and before the commit, held up there by a lock."""
    with pytest.raises(InvalidCode):
        await guarded.tried(ask, guarded.wrong, address)
    code, desk = await guarded.code(), await desk_with()
    body = user.Login.model_validate({**guarded.member.credentials, "code": code})
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
    async with guarded.store.transaction():
        await guarded.store.execute("SELECT FROM login_failure WHERE address = $1 FOR UPDATE", address)
        dying = asyncio.create_task(sessions.login(desk, Request(body, client_ip=address)))
        await eventually(lambda: guarded.store.fetchval(waiting))
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
    await guarded.tried(ask, code, address)


async def test_no_code_and_no_secret_is_kept_or_logged(
    ask: RpcCaller, member: Member, database: Databases, stack: Stack, address: str
) -> None:
    who = identity_of(member.session)
    key = {"identity": who, "key": new_id().hex, "client": address}
    pending = await ask(user.START_TOTP, {"password": PASSWORD}, **key)
    code = pyotp.TOTP(pending.secret).now()
    confirmed = await ask(user.CONFIRM_TOTP, {"code": code}, **key)
    first, second, *_ = confirmed.recovery_codes
    await ask(user.LOGIN, {**member.credentials, "code": first}, key=new_id().hex, client=address)
    with pytest.raises(InvalidRequest):
        await ask(user.LOGIN, {**member.credentials, "code": [second]}, client=address)
    kept, logged = await everything(await database("user")), stack.layout.log("user").read_text()
    for secret in (pending.secret, first, second, second.replace("-", ""), f'"{code}"'):
        assert secret not in kept
        assert secret not in logged
        assert secret not in repr((pending, confirmed))
