"""Accounts that are closed for good. The erasure in the other services is tested in tests/e2e."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import user
from contracts.failure import InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.user import ErasureStatus, InvalidCredentials, TooManyAttempts, WrongCode, WrongPassword
from infra.foundation.ids import new_id
from services.user.workers.erasure_saga import batches
from tests.services.user.conftest import PASSWORD, Member, TotpMember, identity_of
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

Services = Callable[[str], Awaitable[RpcCaller]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]


CONSENT = {"password": PASSWORD}


@pytest.mark.parametrize("password", ["wrong horse", "", PASSWORD + "\0", PASSWORD[:-1], "a" * 1024])
async def test_erasure_needs_the_password(rpc: RpcCaller, member: Member, client_ip: str, password: str) -> None:
    identity = identity_of(member.session)
    with pytest.raises(WrongPassword):
        await rpc(user.ERASE, {"password": password}, identity=identity, client=client_ip)
    with pytest.raises(InvalidRequest):
        await rpc(user.ERASE, {}, identity=identity, client=client_ip)
    assert (await rpc(user.PROFILE, identity=identity)).is_active


async def test_erasure_needs_a_code_where_a_second_factor_is_set(rpc: RpcCaller, totp_member: TotpMember) -> None:
    identity = totp_member.identity
    for code in (None, totp_member.wrong_code, "", "A" * 24):
        with pytest.raises(WrongCode):
            await rpc(user.ERASE, {**CONSENT, "code": code}, identity=identity)
    with pytest.raises(WrongPassword):
        await rpc(user.ERASE, {"password": "wrong horse", "code": totp_member.recovery_codes[0]}, identity=identity)
    assert (await rpc(user.PROFILE, identity=identity)).is_active
    await rpc(user.ERASE, {**CONSENT, "code": totp_member.recovery_codes[0]}, identity=identity)


async def test_erasure_takes_an_authenticator_code(rpc: RpcCaller, totp_member: TotpMember) -> None:
    await rpc(user.ERASE, {**CONSENT, "code": await totp_member.fresh_code()}, identity=totp_member.identity)


async def test_guessing_the_password_of_an_erasure_is_throttled_like_a_login(
    rpc: RpcCaller, member: Member, client_ip: str
) -> None:
    identity = identity_of(member.session)
    for _ in range(5):
        with pytest.raises(WrongPassword):
            await rpc(user.ERASE, {"password": "wrong horse"}, identity=identity, client=client_ip)
    with pytest.raises(TooManyAttempts):
        await rpc(user.ERASE, CONSENT, identity=identity, client=client_ip)
    with pytest.raises(TooManyAttempts):
        await rpc(user.LOGIN, member.credentials, client=client_ip)
    await rpc(user.LOGIN, member.credentials, client="203.0.113.77")


async def test_of_concurrent_erasures_one_succeeds(rpc: RpcCaller, member: Member) -> None:
    identity = identity_of(member.session)
    results = await asyncio.gather(
        *(rpc(user.ERASE, CONSENT, identity=identity) for _ in range(4)), return_exceptions=True
    )
    assert sorted(type(result) is NotFound for result in results) == [False, True, True, True]


async def test_erased_account_is_gone_at_once(
    rpc: RpcCaller, as_service: Services, admin: Identity, member: Member
) -> None:
    """An administrator does not find it either, so the account cannot be opened again."""
    identity = identity_of(member.session)
    erasure = await rpc(user.ERASE, CONSENT, identity=identity)
    assert erasure.status is ErasureStatus.RUNNING
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials)
    for operation in (user.PROFILE, user.EXPORT, user.REQUEST_VERIFICATION):
        with pytest.raises(NotFound):
            await rpc(operation, identity=identity)
    with pytest.raises(NotFound):
        await rpc(user.ERASE, CONSENT, identity=identity)
    for operation in (user.GET_USER, user.UNBAN, user.BAN):
        with pytest.raises(NotFound):
            await rpc(operation, {"id": identity.user_id.hex}, identity=admin)
    with pytest.raises(NotFound):
        await (await as_service("notification"))(user.CONTACT, {"user_id": str(identity.user_id)})


async def test_only_the_receipt_stays(rpc: RpcCaller, database: Databases, member: Member) -> None:
    identity = identity_of(member.session)
    erasure = await rpc(user.ERASE, CONSENT, identity=identity)

    async def done() -> bool:
        return bool((await rpc(user.ERASURE, {"id": erasure.id})).status is ErasureStatus.DONE)

    await eventually(done)
    stored = await (await database("user")).fetchrow("SELECT * FROM erasure WHERE account_id = $1", identity.user_id)
    assert stored is not None
    assert stored["orders"] is None
    assert erasure.id.encode() not in stored["digest"]
    assert not await (await database("user")).fetch("SELECT id FROM account WHERE id = $1", identity.user_id)


def test_orders_are_erased_in_batches_of_a_hundred() -> None:
    assert list(batches([])) == [[]]
    assert [len(batch) for batch in batches([new_id() for _ in range(250)])] == [100, 100, 50]
