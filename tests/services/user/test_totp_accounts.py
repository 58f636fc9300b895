"""The second factor of an account: switching it on and off, losing it, and requiring it of administrators."""

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
from infra.messaging.rpc_client import Request
from services.user.deps import UserDeps
from services.user.handlers import second_factor, sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member, TotpMember, count_rows, identity_of, start_totp
from tests.support.event_recorder import EventRecorder
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
DepsFactory = Callable[..., Awaitable[UserDeps]]


def role_in(session: SessionTokens) -> str:
    role: str = jwt.decode(session.access_token, options={"verify_signature": False})["role"]
    return role


async def test_confirming_ends_the_other_sessions(rpc: RpcCaller, member: Member, events: EventRecorder) -> None:
    other_session = await rpc(user.LOGIN, member.credentials)
    authenticator, identity = await start_totp(rpc, member), identity_of(member.session)
    assert not (await rpc(user.PROFILE, identity=identity)).totp
    assert (await rpc(user.LOGIN, member.credentials)).user.id == identity.user_id, "it is not confirmed yet"
    confirmed = await rpc(user.CONFIRM_TOTP, {"code": authenticator.now()}, identity=identity)
    assert len(set(confirmed.recovery_codes)) == 10
    assert (await rpc(user.PROFILE, identity=identity)).totp
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": other_session.refresh_token})
    assert (await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})).user.totp
    received = await events.wait_for(identity.user_id, "totp_on")
    assert received.event.model_dump() == {"user_id": identity.user_id}


async def test_repeated_request_returns_the_same_recovery_codes(rpc: RpcCaller, member: Member) -> None:
    """A client that lost the reply gets its recovery codes again with its idempotency key."""
    identity, authenticator = identity_of(member.session), await start_totp(rpc, member)
    key, body = new_id().hex, {"code": authenticator.now()}
    first, _ = await rpc.raw(user.CONFIRM_TOTP, body, identity=identity, key=key)
    again, header = await rpc.raw(user.CONFIRM_TOTP, body, identity=identity, key=key)
    assert first == again
    assert header[headers.REPLAYED] == "true"


async def test_concurrent_confirmations_return_recovery_codes_once(
    rpc: RpcCaller, member: Member, database: Databases
) -> None:
    identity, authenticator = identity_of(member.session), await start_totp(rpc, member)
    codes = (authenticator.now(), authenticator.at(now(), counter_offset=-1), authenticator.now())
    attempts = (rpc(user.CONFIRM_TOTP, {"code": code}, identity=identity) for code in codes)
    results = await asyncio.gather(*attempts, return_exceptions=True)
    (won,) = (result for result in results if not isinstance(result, Fail))
    assert {type(result) for result in results if isinstance(result, Fail)} <= {TotpAlreadyOn, InvalidCode}
    totp_member = TotpMember(member, identity, authenticator, won.recovery_codes, await database("user"))
    assert await count_rows(totp_member) == 10
    await totp_member.login(rpc, won.recovery_codes[0])


async def test_new_secret_replaces_the_previous_one(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    identity = identity_of(member.session)
    with pytest.raises(TotpNotOn):
        await rpc(user.CONFIRM_TOTP, {"code": "123456"}, identity=identity, client=client_ip)
    before, after = await start_totp(rpc, member), await start_totp(rpc, member)
    with pytest.raises(InvalidCode):
        await rpc(user.CONFIRM_TOTP, {"code": before.now()}, identity=identity, client=client_ip)
    await rpc(user.CONFIRM_TOTP, {"code": after.now()}, identity=identity, client=client_ip)
    with pytest.raises(TotpAlreadyOn):
        await start_totp(rpc, member)


async def test_unconfirmed_secret_expires(
    rpc: RpcCaller, member: Member, totp_member: TotpMember, database: Databases, deps_with: DepsFactory
) -> None:
    other = Member(f"{new_id().hex}@example.com", member.session)
    session = await rpc(
        user.REGISTER, {**other.credentials, "first_name": "Ada", "last_name": "Lovelace"}, client="203.0.113.41"
    )
    late = await start_totp(rpc, Member(other.email, session))
    past = "UPDATE second_factor SET made_at = made_at - interval '1 h' WHERE account_id = ANY($1::uuid[])"
    await totp_member.connection.execute(past, [session.user.id, totp_member.identity.user_id])
    with pytest.raises(TotpNotOn):
        await rpc(user.CONFIRM_TOTP, {"code": late.now()}, identity=identity_of(session))
    await delete_expired(await deps_with())
    stored = await totp_member.connection.fetch("SELECT account_id FROM second_factor")
    assert totp_member.identity.user_id in {row["account_id"] for row in stored}
    assert session.user.id not in {row["account_id"] for row in stored}


async def test_starting_requires_the_password(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    identity = identity_of(member.session)
    for _ in range(5):
        with pytest.raises(InvalidCredentials):
            await rpc(user.START_TOTP, {"password": "wrong horse"}, identity=identity, client=client_ip)
    with pytest.raises(TooManyAttempts):
        await rpc(user.START_TOTP, {"password": PASSWORD}, identity=identity, client=client_ip)
    with pytest.raises(NotFound):
        await rpc(user.START_TOTP, {"password": PASSWORD}, identity=Identity(user_id=new_id(), role=Role.CUSTOMER))


async def test_new_recovery_codes_void_the_old_ones(rpc: RpcCaller, totp_member: TotpMember, client_ip: str) -> None:
    with pytest.raises(InvalidCode):
        await rpc(
            user.RENEW_RECOVERY_CODES,
            {"code": totp_member.recovery_codes[0]},
            identity=totp_member.identity,
            client=client_ip,
        )
    new = await rpc(
        user.RENEW_RECOVERY_CODES,
        {"code": await totp_member.fresh_code()},
        identity=totp_member.identity,
        client=client_ip,
    )
    assert not set(new.recovery_codes) & set(totp_member.recovery_codes)
    with pytest.raises(InvalidCode):
        await totp_member.login(rpc, totp_member.recovery_codes[0], client_ip)
    await totp_member.login(rpc, new.recovery_codes[0], client_ip)


async def test_disabling_requires_password_and_code(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str, events: EventRecorder
) -> None:
    caller: dict[str, Any] = {"identity": totp_member.identity, "client": client_ip}
    with pytest.raises(InvalidCredentials):
        await rpc(user.DISABLE_TOTP, {"password": "wrong horse", "code": totp_member.recovery_codes[0]}, **caller)
    with pytest.raises(InvalidCode):
        await rpc(user.DISABLE_TOTP, {"password": PASSWORD, "code": totp_member.wrong_code}, **caller)
    await rpc(user.DISABLE_TOTP, {"password": PASSWORD, "code": totp_member.recovery_codes[0]}, **caller)
    assert not (await totp_member.login(rpc, None, client_ip)).user.totp
    assert await count_rows(totp_member) == await count_rows(totp_member, "second_factor") == 0
    await events.wait_for(totp_member.identity.user_id, "totp_off")
    for operation in (user.DISABLE_TOTP, user.RENEW_RECOVERY_CODES):
        body = {"password": PASSWORD, "code": "123456"} if operation is user.DISABLE_TOTP else {"code": "123456"}
        with pytest.raises(TotpNotOn):
            await rpc(operation, body, **caller)


async def test_administrator_removes_a_lost_second_factor(
    rpc: RpcCaller, totp_member: TotpMember, client_ip: str, events: EventRecorder
) -> None:
    administrator = Identity(user_id=new_id(), role=Role.ADMIN)
    one = {"id": str(totp_member.identity.user_id)}
    await rpc(user.REMOVE_TOTP, one, identity=administrator)
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": totp_member.member.session.refresh_token})
    again = await totp_member.login(rpc, None, client_ip)
    await events.wait_for(totp_member.identity.user_id, "totp_off")
    noted = "SELECT before->>'totp' FROM trail WHERE act = 'user.remove_totp' AND actor_id = $1"
    assert await totp_member.connection.fetchval(noted, administrator.user_id) == "true"
    await rpc(user.REMOVE_TOTP, one, identity=administrator)
    await rpc(user.REFRESH, {"refresh_token": again.refresh_token})
    with pytest.raises(NotFound):
        await rpc(user.REMOVE_TOTP, {"id": str(new_id())}, identity=administrator)
    with pytest.raises(Forbidden):
        await rpc(user.REMOVE_TOTP, {"id": str(administrator.user_id)}, identity=administrator)


async def test_password_reset_does_not_bypass_the_second_factor(
    rpc: RpcCaller,
    totp_member: TotpMember,
    as_service: Callable[[str], Awaitable[RpcCaller]],
    events: EventRecorder,
    client_ip: str,
) -> None:
    await rpc(user.FORGOT_PASSWORD, {"email": totp_member.member.email}, client=client_ip)
    requested = (await events.wait_for(totp_member.identity.user_id, "reset_requested")).event
    notification = await as_service("notification")
    proof = await notification(user.PROOF, {"proof_id": str(requested.proof_id)})
    await rpc(user.RESET_PASSWORD, {"token": proof.token.get_secret_value(), "password": "another horse"})
    body = {"email": totp_member.member.email, "password": "another horse"}
    with pytest.raises(SecondFactorRequired):
        await rpc(user.LOGIN, body, client=client_ip)
    await rpc(user.LOGIN, {**body, "code": await totp_member.fresh_code()}, client=client_ip)


async def test_promotion_removes_the_second_factor(
    rpc: RpcCaller, totp_member: TotpMember, operator: RpcCaller, client_ip: str
) -> None:
    await operator(user.MAKE_ADMIN, {"email": totp_member.member.email, "password": "another horse"})
    session = await rpc(user.LOGIN, {"email": totp_member.member.email, "password": "another horse"}, client=client_ip)
    assert (session.user.role, session.user.totp) == (Role.ADMIN, False)
    assert await count_rows(totp_member, "second_factor") == 0


async def test_administrator_without_a_required_second_factor_acts_as_customer(
    rpc: RpcCaller, operator: RpcCaller, deps_with: DepsFactory, client_ip: str
) -> None:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    await operator(user.MAKE_ADMIN, body)
    before = await rpc(user.LOGIN, body)
    assert role_in(before) == "admin"
    deps = await deps_with(admins_need_totp=True)

    async def refreshed(session: SessionTokens) -> SessionTokens:
        answer = await sessions.refresh(
            deps, Request(user.RefreshTokenRequest.model_validate({"refresh_token": session.refresh_token}))
        )
        assert isinstance(answer.content, SessionTokens)
        return answer.content

    demoted = await refreshed(before)
    assert (demoted.user.role, role_in(demoted)) == (Role.ADMIN, "customer")
    authenticator = await start_totp(rpc, Member(body["email"], before))
    identity, confirm = identity_of(demoted), user.ConfirmTotp.model_validate({"code": authenticator.now()})
    codes = (await second_factor.confirm_totp(deps, Request(confirm, identity, client_ip=client_ip))).content
    assert isinstance(codes, user.RecoveryCodeList)
    assert role_in(await refreshed(demoted)) == "admin"
    login = user.Login.model_validate({**body, "code": codes.recovery_codes[0]})
    again = (await sessions.login(deps, Request(login, client_ip=client_ip))).content
    assert isinstance(again, SessionTokens)
    assert role_in(again) == "admin"
    off = user.DisableTotp.model_validate({"password": PASSWORD, "code": codes.recovery_codes[1]})
    with pytest.raises(TotpRequired):
        await second_factor.disable_totp(deps, Request(off, identity, client_ip=client_ip))
