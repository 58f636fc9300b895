"""Accounts that are closed for good. What becomes of the rest of the shop is in tests/e2e."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import user
from contracts.failure import NotFound
from contracts.identity import Identity
from contracts.user import ErasureStatus, InvalidCredentials
from infra.foundation.ids import new_id
from services.user.workers.erasure_saga import batches
from tests.services.user.conftest import Member, identity_of
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

Services = Callable[[str], Awaitable[RpcCaller]]
Databases = Callable[[str], Awaitable[asyncpg.Connection]]


async def test_who_is_erased_is_not_there_from_the_first_moment_on(
    ask: RpcCaller, as_service: Services, admin: Identity, member: Member
) -> None:
    """Also not for an administrator, who could let them in again."""
    who = identity_of(member.session)
    erasure = await ask(user.ERASE, identity=who)
    assert erasure.status is ErasureStatus.RUNNING
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, member.credentials)
    for operation in (user.ERASE, user.PROFILE, user.EXPORT, user.REQUEST_VERIFICATION):
        with pytest.raises(NotFound):
            await ask(operation, identity=who)
    for operation in (user.GET_USER, user.UNBAN, user.BAN):
        with pytest.raises(NotFound):
            await ask(operation, {"id": who.user_id.hex}, identity=admin)
    with pytest.raises(NotFound):
        await (await as_service("notification"))(user.CONTACT, {"user_id": str(who.user_id)})


async def test_the_receipt_alone_stays(ask: RpcCaller, database: Databases, member: Member) -> None:
    who = identity_of(member.session)
    erasure = await ask(user.ERASE, identity=who)

    async def done() -> bool:
        return bool((await ask(user.ERASURE, {"id": erasure.id})).status is ErasureStatus.DONE)

    await eventually(done)
    kept = await (await database("user")).fetchrow("SELECT * FROM erasure WHERE account_id = $1", who.user_id)
    assert kept is not None
    assert kept["orders"] is None
    assert erasure.id.encode() not in kept["digest"]
    assert not await (await database("user")).fetch("SELECT id FROM account WHERE id = $1", who.user_id)


def test_orders_are_named_a_hundred_at_a_time() -> None:
    assert list(batches([])) == [[]]
    assert [len(some) for some in batches([new_id() for _ in range(250)])] == [100, 100, 50]
