"""A second factor of an account: turned on, renewed, lost, taken off, and owed by administrators."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import jwt
import pytest

from contracts import headers, user
from contracts.failure import Fail, Forbidden, NotFound
from contracts.identity import Identity, Role
from contracts.user import (
    InvalidCode,
    InvalidCredentials,
    InvalidRefreshToken,
    SecondFactorRequired,
    SessionTokens,
    TooManyAttempts,
    TotpAlreadyOn,
    TotpNotOn,
    TotpRequired,
)
from infra.foundation.ids import new_id, now
from infra.messaging.rpc import Request
from services.user.deps import UserDeps
from services.user.handlers import second_factor, sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Guarded, Member, identity_of, left, started
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Desks = Callable[..., Awaitable[UserDeps]]


def role_in(session: SessionTokens) -> str:
    role: str = jwt.decode(session.access_token, options={"verify_signature": False})["role"]
    return role


async def test_it_is_turned_on_with_a_code_and_ends_the_other_sessions(
    ask: RpcCaller, member: Member, events: EventRecorder
) -> None:
    elsewhere = await ask(user.LOGIN, member.credentials)
    authenticator, who = await started(ask, member), identity_of(member.session)
    assert not (await ask(user.PROFILE, identity=who)).totp
    assert (await ask(user.LOGIN, member.credentials)).user.id == who.user_id, "it waits to be confirmed"
    confirmed = await ask(user.CONFIRM_TOTP, {"code": authenticator.now()}, identity=who)
    assert len(set(confirmed.recovery_codes)) == 10
    assert (await ask(user.PROFILE, identity=who)).totp
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": elsewhere.refresh_token})
    assert (await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})).user.totp
    heard = await events.wait_for(who.user_id, "totp_on")
    assert heard.event.model_dump() == {"user_id": who.user_id}


async def test_the_same_request_sent_again_has_the_same_answer(ask: RpcCaller, member: Member) -> None:
    """Who died before reading their recovery codes has them again, with the key that nobody else has."""
    who, authenticator = identity_of(member.session), await started(ask, member)
    key, body = new_id().hex, {"code": authenticator.now()}
    first, _ = await ask.raw(user.CONFIRM_TOTP, body, identity=who, key=key)
    again, header = await ask.raw(user.CONFIRM_TOTP, body, identity=who, key=key)
    assert first == again
    assert header[headers.REPLAYED] == "true"


async def test_of_two_who_confirm_at_once_one_has_the_recovery_codes(
    ask: RpcCaller, member: Member, database: Databases
) -> None:
    who, authenticator = identity_of(member.session), await started(ask, member)
    codes = (authenticator.now(), authenticator.at(now(), counter_offset=-1), authenticator.now())
    tries = (ask(user.CONFIRM_TOTP, {"code": code}, identity=who) for code in codes)
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    (won,) = (outcome for outcome in outcomes if not isinstance(outcome, Fail))
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Fail)} <= {TotpAlreadyOn, InvalidCode}
    guarded = Guarded(member, who, authenticator, won.recovery_codes, await database("user"))
    assert await left(guarded) == 10
    await guarded.tried(ask, won.recovery_codes[0])


async def test_a_new_secret_takes_the_place_of_the_one_before(ask: RpcCaller, member: Member, address: str) -> None:
    who = identity_of(member.session)
    with pytest.raises(TotpNotOn):
        await ask(user.CONFIRM_TOTP, {"code": "123456"}, identity=who, client=address)
    before, after = await started(ask, member), await started(ask, member)
    with pytest.raises(InvalidCode):
        await ask(user.CONFIRM_TOTP, {"code": before.now()}, identity=who, client=address)
    await ask(user.CONFIRM_TOTP, {"code": after.now()}, identity=who, client=address)
    with pytest.raises(TotpAlreadyOn):
        await started(ask, member)


async def test_a_secret_that_nobody_confirms_is_forgotten(
    ask: RpcCaller, member: Member, guarded: Guarded, database: Databases, desk_with: Desks
) -> None:
    other = Member(f"{new_id().hex}@example.com", member.session)
    session = await ask(
        user.REGISTER, {**other.credentials, "first_name": "Ada", "last_name": "Lovelace"}, client="203.0.113.41"
    )
    late = await started(ask, Member(other.email, session))
    past = "UPDATE second_factor SET made_at = made_at - interval '1 h' WHERE account_id = ANY($1::uuid[])"
    await guarded.store.execute(past, [session.user.id, guarded.who.user_id])
    with pytest.raises(TotpNotOn):
        await ask(user.CONFIRM_TOTP, {"code": late.now()}, identity=identity_of(session))
    await delete_expired(await desk_with())
    kept = await guarded.store.fetch("SELECT account_id FROM second_factor")
    assert guarded.who.user_id in {row["account_id"] for row in kept}
    assert session.user.id not in {row["account_id"] for row in kept}


async def test_it_takes_the_password_to_begin(ask: RpcCaller, member: Member, address: str) -> None:
    who = identity_of(member.session)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await ask(user.START_TOTP, {"password": "wrong horse"}, identity=who, client=address)
    with pytest.raises(TooManyAttempts):
        await ask(user.START_TOTP, {"password": PASSWORD}, identity=who, client=address)
    with pytest.raises(NotFound):
        await ask(user.START_TOTP, {"password": PASSWORD}, identity=Identity(user_id=new_id(), role=Role.CUSTOMER))


async def test_new_recovery_codes_make_the_old_void(ask: RpcCaller, guarded: Guarded, address: str) -> None:
    with pytest.raises(InvalidCode):
        await ask(user.RENEW_RECOVERY_CODES, {"code": guarded.recovery_codes[0]}, identity=guarded.who, client=address)
    new = await ask(user.RENEW_RECOVERY_CODES, {"code": await guarded.code()}, identity=guarded.who, client=address)
    assert not set(new.recovery_codes) & set(guarded.recovery_codes)
    with pytest.raises(InvalidCode):
        await guarded.tried(ask, guarded.recovery_codes[0], address)
    await guarded.tried(ask, new.recovery_codes[0], address)


async def test_it_is_turned_off_with_password_and_code(
    ask: RpcCaller, guarded: Guarded, address: str, events: EventRecorder
) -> None:
    how: dict[str, Any] = {"identity": guarded.who, "client": address}
    with pytest.raises(InvalidCredentials):
        await ask(user.DISABLE_TOTP, {"password": "wrong horse", "code": guarded.recovery_codes[0]}, **how)
    with pytest.raises(InvalidCode):
        await ask(user.DISABLE_TOTP, {"password": PASSWORD, "code": guarded.wrong}, **how)
    await ask(user.DISABLE_TOTP, {"password": PASSWORD, "code": guarded.recovery_codes[0]}, **how)
    assert not (await guarded.tried(ask, None, address)).user.totp
    assert await left(guarded) == await left(guarded, "second_factor") == 0
    await events.wait_for(guarded.who.user_id, "totp_off")
    for operation in (user.DISABLE_TOTP, user.RENEW_RECOVERY_CODES):
        body = {"password": PASSWORD, "code": "123456"} if operation is user.DISABLE_TOTP else {"code": "123456"}
        with pytest.raises(TotpNotOn):
            await ask(operation, body, **how)


async def test_an_administrator_takes_it_off_for_somebody_who_has_lost_all(
    ask: RpcCaller, guarded: Guarded, address: str, events: EventRecorder
) -> None:
    boss = Identity(user_id=new_id(), role=Role.ADMIN)
    one = {"id": str(guarded.who.user_id)}
    await ask(user.REMOVE_TOTP, one, identity=boss)
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": guarded.member.session.refresh_token})
    again = await guarded.tried(ask, None, address)
    await events.wait_for(guarded.who.user_id, "totp_off")
    noted = "SELECT before->>'totp' FROM trail WHERE act = 'user.remove_totp' AND actor_id = $1"
    assert await guarded.store.fetchval(noted, boss.user_id) == "true"
    await ask(user.REMOVE_TOTP, one, identity=boss)
    await ask(user.REFRESH, {"refresh_token": again.refresh_token})
    with pytest.raises(NotFound):
        await ask(user.REMOVE_TOTP, {"id": str(new_id())}, identity=boss)
    with pytest.raises(Forbidden):
        await ask(user.REMOVE_TOTP, {"id": str(boss.user_id)}, identity=boss)


async def test_a_forgotten_password_does_not_open_it(
    ask: RpcCaller,
    guarded: Guarded,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    events: EventRecorder,
    address: str,
) -> None:
    await ask(user.FORGOT_PASSWORD, {"email": guarded.member.email}, client=address)
    asked = (await events.wait_for(guarded.who.user_id, "reset_requested")).event
    notification = await as_service("notification")
    proof = await notification(user.PROOF, {"proof_id": str(asked.proof_id)})
    await ask(user.RESET_PASSWORD, {"token": proof.token.get_secret_value(), "password": "another horse"})
    body = {"email": guarded.member.email, "password": "another horse"}
    with pytest.raises(SecondFactorRequired):
        await ask(user.LOGIN, body, client=address)
    await ask(user.LOGIN, {**body, "code": await guarded.code()}, client=address)


async def test_a_stranger_s_second_factor_does_not_keep_an_administrator_out(
    ask: RpcCaller, guarded: Guarded, operator: RpcCaller, address: str
) -> None:
    await operator(user.MAKE_ADMIN, {"email": guarded.member.email, "password": "another horse"})
    session = await ask(user.LOGIN, {"email": guarded.member.email, "password": "another horse"}, client=address)
    assert (session.user.role, session.user.totp) == (Role.ADMIN, False)
    assert await left(guarded, "second_factor") == 0


async def test_an_administrator_without_one_is_a_customer_where_a_setting_says_so(
    ask: RpcCaller, operator: RpcCaller, desk_with: Desks, address: str
) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    await operator(user.MAKE_ADMIN, body)
    before = await ask(user.LOGIN, body)
    assert role_in(before) == "admin"
    desk = await desk_with(admins_need_totp=True)

    async def refreshed(session: SessionTokens) -> SessionTokens:
        answer = await sessions.refresh(
            desk, Request(user.RefreshTokenRequest.model_validate({"refresh_token": session.refresh_token}))
        )
        assert isinstance(answer.content, SessionTokens)
        return answer.content

    demoted = await refreshed(before)
    assert (demoted.user.role, role_in(demoted)) == (Role.ADMIN, "customer")
    authenticator = await started(ask, Member(body["email"], before))
    who, confirm = identity_of(demoted), user.ConfirmTotp.model_validate({"code": authenticator.now()})
    codes = (await second_factor.confirm_totp(desk, Request(confirm, who, client_ip=address))).content
    assert isinstance(codes, user.RecoveryCodeList)
    assert role_in(await refreshed(demoted)) == "admin"
    login = user.Login.model_validate({**body, "code": codes.recovery_codes[0]})
    again = (await sessions.login(desk, Request(login, client_ip=address))).content
    assert isinstance(again, SessionTokens)
    assert role_in(again) == "admin"
    off = user.DisableTotp.model_validate({"password": PASSWORD, "code": codes.recovery_codes[1]})
    with pytest.raises(TotpRequired):
        await second_factor.disable_totp(desk, Request(off, who, client_ip=address))
