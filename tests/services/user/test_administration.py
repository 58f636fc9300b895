"""What administrators do with other people's accounts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import headers, user
from contracts.failure import Forbidden, InvalidCursor, InvalidRequest, NotFound, PreconditionFailed
from contracts.identity import Identity, Role
from contracts.user import InvalidCredentials, InvalidRefreshToken, LastAdmin, MakeAdmin, UpdateUser, UserRef
from infra.foundation.ids import new_id
from infra.messaging.rpc import Reply, Request
from services.user.deps import UserDeps
from services.user.handlers import administration
from services.user.handlers import registration as registering
from tests.services.user.conftest import PASSWORD, Member, identity_of
from tests.support.event_recorder import EventRecorder
from tests.support.http import HttpClient, RegisteredCustomer
from tests.support.rpc import RpcCaller

Desks = Callable[..., Awaitable[UserDeps]]
ASKS: list[tuple[Any, dict[str, Any]]] = [
    (user.LIST_USERS, {}),
    (user.GET_USER, {"id": str(new_id())}),
    (user.UPDATE_USER, {"id": str(new_id()), "role": "admin"}),
    (user.BAN, {"id": str(new_id())}),
    (user.UNBAN, {"id": str(new_id())}),
]


@pytest.mark.parametrize(("operation", "body"), ASKS, ids=lambda value: getattr(value, "name", ""))
async def test_administration_is_for_administrators(
    ask: RpcCaller, member: Member, operation: Any, body: dict[str, Any]
) -> None:
    with pytest.raises(Forbidden):
        await ask(operation, body, identity=identity_of(member.session))


@pytest.mark.parametrize(("operation", "body"), ASKS[1:], ids=lambda value: getattr(value, "name", ""))
async def test_who_is_not_there_is_not_found(
    ask: RpcCaller, admin: Identity, operation: Any, body: dict[str, Any]
) -> None:
    with pytest.raises(NotFound):
        await ask(operation, body, identity=admin)


async def test_accounts_are_found_by_how_their_email_begins(ask: RpcCaller, admin: Identity, member: Member) -> None:
    for email in (member.email[:30], member.email[:30].upper()):
        found = await ask(user.LIST_USERS, {"email": email}, identity=admin)
        assert found.items == [member.session.user]
    for other in ({"role": "admin"}, {"is_active": False}):
        found = await ask(user.LIST_USERS, {"email": member.email, **other}, identity=admin)
        assert found.items == []


@pytest.mark.parametrize("email", ["%", "_", "' OR true --"])
async def test_nothing_in_an_email_is_a_pattern(ask: RpcCaller, admin: Identity, email: str) -> None:
    assert (await ask(user.LIST_USERS, {"email": email}, identity=admin)).items == []


async def test_accounts_come_newest_first_and_page_by_page(ask: RpcCaller, admin: Identity, member: Member) -> None:
    first = await ask(user.LIST_USERS, {"limit": 1}, identity=admin)
    assert first.next
    second = await ask(user.LIST_USERS, {"limit": 1, "after": first.next}, identity=admin)
    assert second.items[0].id < first.items[0].id
    assert first.items[0].id >= member.session.user.id
    with pytest.raises(InvalidCursor):
        await ask(user.LIST_USERS, {"after": "nonsense"}, identity=admin)


async def test_a_name_is_changed_in_the_version_that_was_read(ask: RpcCaller, admin: Identity, member: Member) -> None:
    body = {"id": str(member.session.user.id), "first_name": "Grace"}
    _, header = await ask.raw(user.GET_USER, {"id": body["id"]}, identity=admin)
    changed = await ask(user.UPDATE_USER, body, identity=admin, if_match=int(header[headers.VERSION]))
    assert (changed.first_name, changed.last_name, changed.role) == ("Grace", "Lovelace", Role.CUSTOMER)
    with pytest.raises(PreconditionFailed):
        await ask(user.UPDATE_USER, body, identity=admin, if_match=int(header[headers.VERSION]))
    await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})


@pytest.mark.parametrize("changed", [{}, {"email": "x@example.com"}, {"is_active": False}, {"role": "root"}])
async def test_nothing_else_can_be_changed(
    ask: RpcCaller, admin: Identity, member: Member, changed: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.UPDATE_USER, {"id": str(member.session.user.id), **changed}, identity=admin)


async def test_who_gets_another_role_signs_in_anew(
    ask: RpcCaller, operator: RpcCaller, admin: Identity, member: Member, events: EventRecorder
) -> None:
    await operator(user.MAKE_ADMIN, {"email": f"{new_id().hex}@example.com", "password": PASSWORD})
    body = {"id": str(member.session.user.id), "role": "admin"}
    assert (await ask(user.UPDATE_USER, body, identity=admin)).role is Role.ADMIN
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    assert (await ask(user.LOGIN, member.credentials)).user.role is Role.ADMIN
    heard = await events.wait_for(member.session.user.id, "role_changed")
    assert heard.event.model_dump() == {"user_id": member.session.user.id, "role": Role.ADMIN}
    assert (await ask(user.UPDATE_USER, {**body, "role": "customer"}, identity=admin)).role is Role.CUSTOMER


async def test_a_banned_account_is_closed_until_it_is_opened_again(
    ask: RpcCaller, admin: Identity, member: Member, events: EventRecorder, address: str
) -> None:
    body = {"id": str(member.session.user.id)}
    for _ in range(2):
        assert not (await ask(user.BAN, body, identity=admin)).is_active
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, member.credentials, client=address)
    await events.wait_for(member.session.user.id, "banned")
    assert (await ask(user.UNBAN, body, identity=admin)).is_active
    await ask(user.LOGIN, member.credentials)
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    await events.wait_for(member.session.user.id, "unbanned")


async def test_over_http(admin_http: HttpClient, customer: RegisteredCustomer) -> None:
    path = f"/users/{customer.user['id']}"
    found = await admin_http.get(path)
    assert (found.status, found.json) == (200, customer.user)
    assert (await admin_http.get(f"/users?email={customer.email}&is_active=true")).json["items"] == [customer.user]
    assert (await admin_http.post(f"{path}/ban")).json["is_active"] is False
    assert (await customer.http.get(path)).status in (401, 403)
    login = {"email": customer.email, "password": customer.password}
    assert (await admin_http.with_token(None).post("/auth/login", login)).status == 401


async def made_admin(desk: UserDeps) -> Identity:
    body = {"email": f"{new_id().hex}@example.com", "password": PASSWORD}
    answer: Reply[user.User] = await registering.make_admin(desk, Request(MakeAdmin.model_validate(body)))
    assert isinstance(answer.content, user.User)
    return Identity(user_id=answer.content.id, role=Role.ADMIN)


async def test_the_last_administrator_stays(own_desk: UserDeps) -> None:
    who = await made_admin(own_desk)
    with pytest.raises(LastAdmin):
        await administration.ban(own_desk, Request(UserRef(id=who.user_id), who))
    demotion = UpdateUser(id=who.user_id, role=Role.CUSTOMER)
    with pytest.raises(LastAdmin):
        await administration.update_user(own_desk, Request(demotion, who))
    await made_admin(own_desk)
    await administration.update_user(own_desk, Request(demotion, who))


async def test_two_administrators_who_ban_each_other_at_once_leave_one(own_desk: UserDeps) -> None:
    one, other = await made_admin(own_desk), await made_admin(own_desk)
    outcomes = await asyncio.gather(
        administration.ban(own_desk, Request(UserRef(id=one.user_id), other)),
        administration.ban(own_desk, Request(UserRef(id=other.user_id), one)),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Answer", "LastAdmin"]
