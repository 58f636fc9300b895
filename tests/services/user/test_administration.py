"""What administrators do with other accounts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import headers, user
from contracts.failure import Forbidden, InvalidCursor, InvalidRequest, NotFound, PreconditionFailed
from contracts.identity import Identity, Role
from contracts.user import InvalidCredentials, InvalidRefreshToken, LastAdmin, MakeAdmin, UpdateUser, UserRef
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Reply, Request
from services.user.deps import UserDeps
from services.user.handlers import account_creation, administration
from tests.services.user.conftest import PASSWORD, Member, identity_of
from tests.support.event_recorder import EventRecorder
from tests.support.http import HttpClient, RegisteredCustomer
from tests.support.rpc import RpcCaller

DepsFactory = Callable[..., Awaitable[UserDeps]]
ASKS: list[tuple[Any, dict[str, Any]]] = [
    (user.LIST_USERS, {}),
    (user.GET_USER, {"id": str(new_id())}),
    (user.UPDATE_USER, {"id": str(new_id()), "role": "admin"}),
    (user.BAN, {"id": str(new_id())}),
    (user.UNBAN, {"id": str(new_id())}),
]


@pytest.mark.parametrize(("operation", "body"), ASKS, ids=lambda value: getattr(value, "name", ""))
async def test_only_administrators_manage_accounts(
    rpc: RpcCaller, member: Member, operation: Any, body: dict[str, Any]
) -> None:
    with pytest.raises(Forbidden):
        await rpc(operation, body, identity=identity_of(member.session))


@pytest.mark.parametrize(("operation", "body"), ASKS[1:], ids=lambda value: getattr(value, "name", ""))
async def test_unknown_accounts_are_not_found(
    rpc: RpcCaller, admin: Identity, operation: Any, body: dict[str, Any]
) -> None:
    with pytest.raises(NotFound):
        await rpc(operation, body, identity=admin)


async def test_accounts_are_found_by_email_prefix(rpc: RpcCaller, admin: Identity, member: Member) -> None:
    for email in (member.email[:30], member.email[:30].upper()):
        found = await rpc(user.LIST_USERS, {"email": email}, identity=admin)
        assert found.items == [member.session.user]
    for other in ({"role": "admin"}, {"is_active": False}):
        found = await rpc(user.LIST_USERS, {"email": member.email, **other}, identity=admin)
        assert found.items == []


@pytest.mark.parametrize("email", ["%", "_", "' OR true --"])
async def test_email_filter_is_not_a_pattern(rpc: RpcCaller, admin: Identity, email: str) -> None:
    assert (await rpc(user.LIST_USERS, {"email": email}, identity=admin)).items == []


async def test_accounts_are_listed_newest_first_in_pages(rpc: RpcCaller, admin: Identity, member: Member) -> None:
    first = await rpc(user.LIST_USERS, {"limit": 1}, identity=admin)
    assert first.next
    second = await rpc(user.LIST_USERS, {"limit": 1, "after": first.next}, identity=admin)
    assert second.items[0].id < first.items[0].id
    assert first.items[0].id >= member.session.user.id
    with pytest.raises(InvalidCursor):
        await rpc(user.LIST_USERS, {"after": "nonsense"}, identity=admin)


async def test_name_is_changed_only_in_the_version_that_was_read(
    rpc: RpcCaller, admin: Identity, member: Member
) -> None:
    body = {"id": str(member.session.user.id), "first_name": "Grace"}
    _, header = await rpc.raw(user.GET_USER, {"id": body["id"]}, identity=admin)
    changed = await rpc(user.UPDATE_USER, body, identity=admin, if_match=int(header[headers.VERSION]))
    assert (changed.first_name, changed.last_name, changed.role) == ("Grace", "Lovelace", Role.CUSTOMER)
    with pytest.raises(PreconditionFailed):
        await rpc(user.UPDATE_USER, body, identity=admin, if_match=int(header[headers.VERSION]))
    await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})


@pytest.mark.parametrize("changed", [{}, {"email": "x@example.com"}, {"is_active": False}, {"role": "root"}])
async def test_other_fields_cannot_be_changed(
    rpc: RpcCaller, admin: Identity, member: Member, changed: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.UPDATE_USER, {"id": str(member.session.user.id), **changed}, identity=admin)


async def test_role_change_ends_the_sessions(
    rpc: RpcCaller, operator: RpcCaller, admin: Identity, member: Member, events: EventRecorder
) -> None:
    await operator(user.MAKE_ADMIN, {"email": f"{new_id().hex}@example.com", "password": PASSWORD})
    body = {"id": str(member.session.user.id), "role": "admin"}
    assert (await rpc(user.UPDATE_USER, body, identity=admin)).role is Role.ADMIN
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})
    assert (await rpc(user.LOGIN, member.credentials)).user.role is Role.ADMIN
    received = await events.wait_for(member.session.user.id, "role_changed")
    assert received.event.model_dump() == {"user_id": member.session.user.id, "role": Role.ADMIN}
    assert (await rpc(user.UPDATE_USER, {**body, "role": "customer"}, identity=admin)).role is Role.CUSTOMER


async def test_banned_account_stays_closed_until_unbanned(
    rpc: RpcCaller, admin: Identity, member: Member, events: EventRecorder, client_ip: str
) -> None:
    body = {"id": str(member.session.user.id)}
    for _ in range(2):
        assert not (await rpc(user.BAN, body, identity=admin)).is_active
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials, client=client_ip)
    await events.wait_for(member.session.user.id, "banned")
    assert (await rpc(user.UNBAN, body, identity=admin)).is_active
    await rpc(user.LOGIN, member.credentials)
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})
    await events.wait_for(member.session.user.id, "unbanned")


async def test_administration_over_http(admin_http: HttpClient, customer: RegisteredCustomer) -> None:
    path = f"/users/{customer.user['id']}"
    found = await admin_http.get(path)
    assert (found.status, found.json) == (200, customer.user)
    assert (await admin_http.get(f"/users?email={customer.email}&is_active=true")).json["items"] == [customer.user]
    assert (await admin_http.post(f"{path}/ban")).json["is_active"] is False
    assert (await customer.http.get(path)).status in (401, 403)
    login = {"email": customer.email, "password": customer.password}
    assert (await admin_http.with_token(None).post("/auth/login", login)).status == 401


async def made_admin(deps: UserDeps) -> Identity:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    answer: Reply[user.User] = await account_creation.make_admin(deps, Request(MakeAdmin.model_validate(body)))
    assert isinstance(answer.content, user.User)
    return Identity(user_id=answer.content.id, role=Role.ADMIN)


async def test_last_administrator_cannot_be_banned_or_demoted(fresh_deps: UserDeps) -> None:
    identity = await made_admin(fresh_deps)
    with pytest.raises(LastAdmin):
        await administration.ban(fresh_deps, Request(UserRef(id=identity.user_id), identity))
    demotion = UpdateUser(id=identity.user_id, role=Role.CUSTOMER)
    with pytest.raises(LastAdmin):
        await administration.update_user(fresh_deps, Request(demotion, identity))
    await made_admin(fresh_deps)
    await administration.update_user(fresh_deps, Request(demotion, identity))


async def test_one_administrator_remains_when_two_ban_each_other(fresh_deps: UserDeps) -> None:
    one, other = await made_admin(fresh_deps), await made_admin(fresh_deps)
    results = await asyncio.gather(
        administration.ban(fresh_deps, Request(UserRef(id=one.user_id), other)),
        administration.ban(fresh_deps, Request(UserRef(id=other.user_id), one)),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["LastAdmin", "Reply"]
