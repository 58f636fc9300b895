"""Accounts that are closed for good. The erasure in the other services is tested in tests/e2e."""

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


async def test_erased_account_is_gone_at_once(
    rpc: RpcCaller, as_service: Services, admin: Identity, member: Member
) -> None:
    """An administrator does not find it either, so the account cannot be opened again."""
    identity = identity_of(member.session)
    erasure = await rpc(user.ERASE, identity=identity)
    assert erasure.status is ErasureStatus.RUNNING
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials)
    for operation in (user.ERASE, user.PROFILE, user.EXPORT, user.REQUEST_VERIFICATION):
        with pytest.raises(NotFound):
            await rpc(operation, identity=identity)
    for operation in (user.GET_USER, user.UNBAN, user.BAN):
        with pytest.raises(NotFound):
            await rpc(operation, {"id": identity.user_id.hex}, identity=admin)
    with pytest.raises(NotFound):
        await (await as_service("notification"))(user.CONTACT, {"user_id": str(identity.user_id)})


async def test_only_the_receipt_stays(rpc: RpcCaller, database: Databases, member: Member) -> None:
    identity = identity_of(member.session)
    erasure = await rpc(user.ERASE, identity=identity)

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
