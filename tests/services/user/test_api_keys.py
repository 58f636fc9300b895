"""API keys: made by administrators, shown once, and ended with whoever made them."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from contracts import user
from contracts.failure import FieldError, Forbidden, IdempotencyKeyReused, InvalidRequest, InvalidToken, NotFound
from contracts.identity import ApiKeyScope, Identity, Role
from contracts.user import API_KEY_PATTERN, API_KEY_PREFIX, MAX_API_KEYS, NewApiKey, TooManyApiKeys
from infra.foundation.ids import new_id, now
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.store import api_keys
from services.user.workers import cleanup as pruning
from tests.services.user.conftest import PASSWORD, Member
from tests.services.user.test_registration import everything
from tests.support.eventually import eventually
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller, api_key_identity

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
BODY = {"name": "Warehouse", "scopes": ["catalog:write", "order:read"]}


@pytest.fixture
async def maker(member: Member, operator: RpcCaller) -> Identity:
    """An administrator with an account of the test's own."""
    await operator(user.MAKE_ADMIN, {"email": member.email, "password": PASSWORD})
    return Identity(user_id=member.session.user.id, role=Role.ADMIN)


@pytest.fixture
async def made(ask: RpcCaller, maker: Identity) -> NewApiKey:
    key: NewApiKey = await ask(user.MAKE_API_KEY, BODY, identity=maker)
    return key


async def found(ask: RpcCaller, key: str) -> user.ApiKeyGrant:
    known: user.ApiKeyGrant = await ask(user.FIND_API_KEY, {"digest": domain.hash_token(key).hex()})
    return known


async def listed(ask: RpcCaller, maker: Identity) -> list[user.ApiKey]:
    page = await ask(user.LIST_API_KEYS, {"limit": 100}, identity=maker)
    return [key for key in page.items if key.made_by == maker.user_id]


async def test_a_key_is_shown_once_and_found_by_its_digest(ask: RpcCaller, maker: Identity, made: NewApiKey) -> None:
    assert made.key.startswith(API_KEY_PREFIX)
    assert (made.name, made.scopes, made.made_by) == ("Warehouse", BODY["scopes"], maker.user_id)
    assert made.key not in repr(made)
    (seen,) = await listed(ask, maker)
    assert dict(seen) == {name: value for name, value in made if name != "key"}
    known = await found(ask, made.key)
    assert (known.id, known.scopes, known.expires_at) == (made.id, BODY["scopes"], None)


async def test_every_key_has_its_form_and_is_another(ask: RpcCaller, maker: Identity) -> None:
    keys = {(await ask(user.MAKE_API_KEY, BODY, identity=maker)).key for _ in range(5)}
    assert len(keys) == 5
    assert all(re.fullmatch(API_KEY_PATTERN, key) for key in keys)


async def test_no_key_is_kept_or_logged(
    ask: RpcCaller, maker: Identity, http: HttpClient, database: Databases, stack: Stack
) -> None:
    """Nor in an answer that is kept for a replay; the digest alone is in the database."""
    made = await ask(user.MAKE_API_KEY, BODY, identity=maker, key="shown once")
    assert (await http.with_token(made.key).get("/orders?limit=1")).status == 200
    assert (await http.with_token(made.key).get("/users")).status == 403
    kept = await everything(await database("user"))
    assert made.key not in kept
    for log in stack.layout.log("user").parent.iterdir():
        assert made.key not in log.read_text(errors="replace"), log.name


async def test_a_lost_answer_comes_again(ask: RpcCaller, maker: Identity) -> None:
    first, again = [await ask(user.MAKE_API_KEY, BODY, identity=maker, key="lost") for _ in range(2)]
    assert first == again
    assert len(await listed(ask, maker)) == 1
    with pytest.raises(IdempotencyKeyReused):
        await ask(user.MAKE_API_KEY, {**BODY, "name": "Another"}, identity=maker, key="lost")


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\r\nb"}, "/name"),
        ({"name": "n" * 101}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["user:write"]}, "/scopes/0"),
        ({"scopes": ["*"]}, "/scopes/0"),
        ({"scopes": ["order:read"] * 101}, "/scopes"),
        ({"scopes": "order:read"}, "/scopes"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+23:59"}, "/expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "/expires_at"),
        ({"expires_at": 4102444800}, "/expires_at"),
        ({"made_by": str(new_id())}, "/made_by"),
        ({"key": API_KEY_PREFIX + "k" * 43}, "/key"),
    ],
)
async def test_what_is_no_wish_for_a_key_is_refused(
    ask: RpcCaller, maker: Identity, changed: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ask(user.MAKE_API_KEY, {**BODY, **changed}, identity=maker)
    errors: tuple[FieldError, ...] = refused.value.errors
    assert [error.pointer for error in errors] == [pointer]


async def test_scopes_are_said_once(ask: RpcCaller, maker: Identity) -> None:
    body = {**BODY, "scopes": ["order:read", "catalog:write", "order:read"]}
    assert (await ask(user.MAKE_API_KEY, body, identity=maker)).scopes == [
        ApiKeyScope.CATALOG_WRITE,
        ApiKeyScope.ORDER_READ,
    ]


async def test_a_machine_makes_lists_and_ends_no_keys(ask: RpcCaller, made: NewApiKey) -> None:
    for operation, body in (
        (user.MAKE_API_KEY, BODY),
        (user.LIST_API_KEYS, {}),
        (user.REVOKE_API_KEY, {"id": str(made.id)}),
    ):
        with pytest.raises(Forbidden):
            await ask(operation, body, identity=api_key_identity(*ApiKeyScope))
    await found(ask, made.key)


async def test_who_is_no_administrator_any_more_makes_none(ask: RpcCaller, maker: Identity, admin: Identity) -> None:
    """Though the edge has not heard of it yet."""
    await ask(user.UPDATE_USER, {"id": str(maker.user_id), "role": "customer"}, identity=admin)
    with pytest.raises(Forbidden):
        await ask(user.MAKE_API_KEY, BODY, identity=maker)


async def test_a_key_expires(ask: RpcCaller, maker: Identity) -> None:
    body = {**BODY, "expires_at": (now() + timedelta(seconds=1)).isoformat()}
    made = await ask(user.MAKE_API_KEY, body, identity=maker)
    assert (await found(ask, made.key)).expires_at == made.expires_at

    async def expired() -> bool:
        try:
            await found(ask, made.key)
        except InvalidToken:
            return True
        return False

    await eventually(expired)


async def test_a_revoked_key_is_no_key(ask: RpcCaller, maker: Identity, made: NewApiKey) -> None:
    await ask(user.REVOKE_API_KEY, {"id": str(made.id)}, identity=maker)
    assert await listed(ask, maker) == []
    with pytest.raises(InvalidToken):
        await found(ask, made.key)
    for gone in (made.id, new_id()):
        with pytest.raises(NotFound):
            await ask(user.REVOKE_API_KEY, {"id": str(gone)}, identity=maker)


async def test_the_next_request_of_a_revoked_key_is_refused(admin_http: HttpClient) -> None:
    made = (await admin_http.post("/api-keys", BODY)).json
    machines = admin_http.with_token(made["key"])
    assert (await machines.get("/orders?limit=1")).status == 200
    assert (await admin_http.delete(f"/api-keys/{made['id']}")).status == 204
    answered = await machines.get("/orders?limit=1")
    assert (answered.status, answered.code) == (401, "invalid_token")


@pytest.mark.parametrize("how", ["ban", "role", "erase"])
async def test_a_key_ends_with_who_made_it(
    ask: RpcCaller, admin: Identity, maker: Identity, made: NewApiKey, http: HttpClient, how: str
) -> None:
    machines = http.with_token(made.key)
    assert (await machines.get("/orders?limit=1")).status == 200
    said = {"id": str(maker.user_id)}
    if how == "ban":
        await ask(user.BAN, said, identity=admin)
        await ask(user.UNBAN, said, identity=admin)
    elif how == "erase":
        await ask(user.ERASE, {}, identity=maker)
    else:
        await ask(user.UPDATE_USER, {**said, "role": "customer"}, identity=admin)
        await ask(user.UPDATE_USER, {**said, "role": "admin"}, identity=admin)
    assert (await machines.get("/orders?limit=1")).status == 401
    with pytest.raises(InvalidToken):
        await found(ask, made.key)


async def test_a_key_of_who_is_banned_by_other_means_is_no_key(
    ask: RpcCaller, maker: Identity, made: NewApiKey, database: Databases
) -> None:
    connection = await database("user")
    for change in ("is_active = false", "is_active = true, role = 'customer'"):
        await connection.execute(f"UPDATE account SET {change} WHERE id = $1", maker.user_id)  # noqa: S608 - our own
        with pytest.raises(InvalidToken):
            await found(ask, made.key)


async def test_where_administrators_need_a_second_factor_their_keys_do(
    desk_with: Callable[..., Awaitable[UserDeps]], made: NewApiKey
) -> None:
    desk = await desk_with()
    async with desk.db.connection() as connection:
        assert (await api_keys.find(connection, domain.hash_token(made.key), admins_need_totp=False)).id == made.id
        with pytest.raises(InvalidToken):
            await api_keys.find(connection, domain.hash_token(made.key), admins_need_totp=True)


async def test_what_was_not_told_when_the_process_died_is_told_by_the_next(
    made: NewApiKey, http: HttpClient, database: Databases
) -> None:
    machines = http.with_token(made.key)
    assert (await machines.get("/orders?limit=1")).status == 200
    connection = await database("user")
    await connection.execute("UPDATE api_key SET revoked_at = now() WHERE id = $1", made.id)

    async def refused() -> bool:
        return (await machines.get("/orders?limit=1")).status == 401

    await eventually(refused)


async def test_there_is_room_for_so_many_keys_and_no_more_at_once(
    ask: RpcCaller, maker: Identity, database: Databases
) -> None:
    connection = await database("user")
    some = [
        (new_id(), maker.user_id, "one of many", [], domain.hash_token(new_id().hex)) for _ in range(MAX_API_KEYS - 1)
    ]
    await connection.executemany(
        "INSERT INTO api_key (id, made_by, name, scopes, digest) VALUES ($1, $2, $3, $4, $5)", some
    )
    making = (ask(user.MAKE_API_KEY, BODY, identity=maker) for _ in range(5))
    told = await asyncio.gather(*making, return_exceptions=True)
    assert [type(one) for one in told if isinstance(one, Exception)] == [TooManyApiKeys] * 4
    await ask(user.REVOKE_API_KEY, {"id": str(some[0][0])}, identity=maker)
    await ask(user.MAKE_API_KEY, BODY, identity=maker)


async def test_its_use_is_noted_once_a_minute(
    ask: RpcCaller, maker: Identity, made: NewApiKey, database: Databases
) -> None:
    async def used() -> Any:
        return (await listed(ask, maker))[0].last_used_at

    assert await used() is None
    await found(ask, made.key)
    first = await used()
    await found(ask, made.key)
    assert await used() == first
    connection = await database("user")
    await connection.execute("UPDATE api_key SET used_at = used_at - interval '2 minutes' WHERE id = $1", made.id)
    await found(ask, made.key)
    assert await used() > first


async def test_pages_of_keys(ask: RpcCaller, maker: Identity, made: NewApiKey) -> None:
    newer = await ask(user.MAKE_API_KEY, BODY, identity=maker)
    page = await ask(user.LIST_API_KEYS, {"limit": 1}, identity=maker)
    assert page.items[0].id >= newer.id
    after: list[UUID] = []
    while page.next and made.id not in after:
        page = await ask(user.LIST_API_KEYS, {"limit": 1, "after": page.next}, identity=maker)
        after += [key.id for key in page.items]
    assert made.id in after


async def test_a_revoked_key_is_forgotten_once_no_edge_can_know_it(
    desk_with: Callable[..., Awaitable[UserDeps]], made: NewApiKey, database: Databases
) -> None:
    connection, desk = await database("user"), await desk_with()
    for age, left in (("10 minutes", 1), ("1 hour", 0)):
        await connection.execute(
            "UPDATE api_key SET revoked_at = now() - $2::text::interval, told_at = now() WHERE id = $1", made.id, age
        )
        await pruning.delete_expired(desk)
        assert await connection.fetchval("SELECT count(*) FROM api_key WHERE id = $1", made.id) == left
