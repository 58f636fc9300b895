"""API keys: made by administrators, shown once, and ended with their makers."""

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
from services.user.domain.tokens import hash_token
from services.user.store import api_keys
from services.user.workers import cleanup
from tests.services.user.conftest import PASSWORD, Member, all_rows_as_text
from tests.support.eventually import eventually
from tests.support.http import HttpClient
from tests.support.rpc import RpcCaller, api_key_identity

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
BODY = {"name": "Warehouse", "scopes": ["catalog:write", "order:read"]}


@pytest.fixture
async def key_admin(member: Member, operator: RpcCaller) -> Identity:
    """Returns an administrator whose account only this test uses."""
    await operator(user.MAKE_ADMIN, {"email": member.email, "password": PASSWORD})
    return Identity(user_id=member.session.user.id, role=Role.ADMIN)


@pytest.fixture
async def new_key(rpc: RpcCaller, key_admin: Identity) -> NewApiKey:
    key: NewApiKey = await rpc(user.MAKE_API_KEY, BODY, identity=key_admin)
    return key


async def find_key(rpc: RpcCaller, key: str) -> user.ApiKeyGrant:
    known: user.ApiKeyGrant = await rpc(user.FIND_API_KEY, {"digest": hash_token(key).hex()})
    return known


async def list_keys(rpc: RpcCaller, key_admin: Identity) -> list[user.ApiKey]:
    page = await rpc(user.LIST_API_KEYS, {"limit": 100}, identity=key_admin)
    return [key for key in page.items if key.made_by == key_admin.user_id]


async def test_key_is_shown_once_and_found_by_its_digest(
    rpc: RpcCaller, key_admin: Identity, new_key: NewApiKey
) -> None:
    assert new_key.key.startswith(API_KEY_PREFIX)
    assert (new_key.name, new_key.scopes, new_key.made_by) == ("Warehouse", BODY["scopes"], key_admin.user_id)
    assert new_key.key not in repr(new_key)
    (seen,) = await list_keys(rpc, key_admin)
    assert dict(seen) == {name: value for name, value in new_key if name != "key"}
    known = await find_key(rpc, new_key.key)
    assert (known.id, known.scopes, known.expires_at) == (new_key.id, BODY["scopes"], None)


async def test_keys_match_the_pattern_and_are_unique(rpc: RpcCaller, key_admin: Identity) -> None:
    keys = {(await rpc(user.MAKE_API_KEY, BODY, identity=key_admin)).key for _ in range(5)}
    assert len(keys) == 5
    assert all(re.fullmatch(API_KEY_PATTERN, key) for key in keys)


async def test_keys_are_neither_stored_nor_logged(
    rpc: RpcCaller, key_admin: Identity, http: HttpClient, database: Databases, stack: Stack
) -> None:
    """The stored reply for a repeated request has no key either; only the digest is in the database."""
    new_key = await rpc(user.MAKE_API_KEY, BODY, identity=key_admin, key="shown once")
    assert (await http.with_token(new_key.key).get("/orders?limit=1")).status == 200
    assert (await http.with_token(new_key.key).get("/users")).status == 403
    stored = await all_rows_as_text(await database("user"))
    assert new_key.key not in stored
    for log in stack.data_dir.log_file("user").parent.iterdir():
        assert new_key.key not in log.read_text(errors="replace"), log.name


async def test_lost_reply_is_returned_again(rpc: RpcCaller, key_admin: Identity) -> None:
    first, again = [await rpc(user.MAKE_API_KEY, BODY, identity=key_admin, key="lost") for _ in range(2)]
    assert first == again
    assert len(await list_keys(rpc, key_admin)) == 1
    with pytest.raises(IdempotencyKeyReused):
        await rpc(user.MAKE_API_KEY, {**BODY, "name": "Another"}, identity=key_admin, key="lost")


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
async def test_invalid_key_requests_are_refused(
    rpc: RpcCaller, key_admin: Identity, changed: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        await rpc(user.MAKE_API_KEY, {**BODY, **changed}, identity=key_admin)
    errors: tuple[FieldError, ...] = error.value.errors
    assert [error.pointer for error in errors] == [pointer]


async def test_duplicate_scopes_are_dropped(rpc: RpcCaller, key_admin: Identity) -> None:
    body = {**BODY, "scopes": ["order:read", "catalog:write", "order:read"]}
    assert (await rpc(user.MAKE_API_KEY, body, identity=key_admin)).scopes == [
        ApiKeyScope.CATALOG_WRITE,
        ApiKeyScope.ORDER_READ,
    ]


async def test_api_key_cannot_manage_api_keys(rpc: RpcCaller, new_key: NewApiKey) -> None:
    for operation, body in (
        (user.MAKE_API_KEY, BODY),
        (user.LIST_API_KEYS, {}),
        (user.REVOKE_API_KEY, {"id": str(new_key.id)}),
    ):
        with pytest.raises(Forbidden):
            await rpc(operation, body, identity=api_key_identity(*ApiKeyScope))
    await find_key(rpc, new_key.key)


async def test_demoted_administrator_cannot_make_keys(rpc: RpcCaller, key_admin: Identity, admin: Identity) -> None:
    """This holds even while the edge does not know of the change."""
    await rpc(user.UPDATE_USER, {"id": str(key_admin.user_id), "role": "customer"}, identity=admin)
    with pytest.raises(Forbidden):
        await rpc(user.MAKE_API_KEY, BODY, identity=key_admin)


async def test_key_expires(rpc: RpcCaller, key_admin: Identity) -> None:
    body = {**BODY, "expires_at": (now() + timedelta(seconds=1)).isoformat()}
    new_key = await rpc(user.MAKE_API_KEY, body, identity=key_admin)
    assert (await find_key(rpc, new_key.key)).expires_at == new_key.expires_at

    async def expired() -> bool:
        try:
            await find_key(rpc, new_key.key)
        except InvalidToken:
            return True
        return False

    await eventually(expired)


async def test_revoked_key_is_not_found(rpc: RpcCaller, key_admin: Identity, new_key: NewApiKey) -> None:
    await rpc(user.REVOKE_API_KEY, {"id": str(new_key.id)}, identity=key_admin)
    assert await list_keys(rpc, key_admin) == []
    with pytest.raises(InvalidToken):
        await find_key(rpc, new_key.key)
    for gone in (new_key.id, new_id()):
        with pytest.raises(NotFound):
            await rpc(user.REVOKE_API_KEY, {"id": str(gone)}, identity=key_admin)


async def test_revoked_key_is_refused_on_the_next_request(admin_http: HttpClient) -> None:
    new_key = (await admin_http.post("/api-keys", BODY)).json
    machines = admin_http.with_token(new_key["key"])
    assert (await machines.get("/orders?limit=1")).status == 200
    assert (await admin_http.delete(f"/api-keys/{new_key['id']}")).status == 204
    answered = await machines.get("/orders?limit=1")
    assert (answered.status, answered.code) == (401, "invalid_token")


@pytest.mark.parametrize("change", ["ban", "role", "erase"])
async def test_key_ends_with_its_maker(
    rpc: RpcCaller, admin: Identity, key_admin: Identity, new_key: NewApiKey, http: HttpClient, change: str
) -> None:
    machines = http.with_token(new_key.key)
    assert (await machines.get("/orders?limit=1")).status == 200
    target = {"id": str(key_admin.user_id)}
    if change == "ban":
        await rpc(user.BAN, target, identity=admin)
        await rpc(user.UNBAN, target, identity=admin)
    elif change == "erase":
        await rpc(user.ERASE, {"password": PASSWORD}, identity=key_admin)
    else:
        await rpc(user.UPDATE_USER, {**target, "role": "customer"}, identity=admin)
        await rpc(user.UPDATE_USER, {**target, "role": "admin"}, identity=admin)
    assert (await machines.get("/orders?limit=1")).status == 401
    with pytest.raises(InvalidToken):
        await find_key(rpc, new_key.key)


async def test_key_is_not_found_when_its_maker_is_no_active_administrator(
    rpc: RpcCaller, key_admin: Identity, new_key: NewApiKey, database: Databases
) -> None:
    connection = await database("user")
    for change in ("is_active = false", "is_active = true, role = 'customer'"):
        await connection.execute(f"UPDATE account SET {change} WHERE id = $1", key_admin.user_id)  # noqa: S608 - our own
        with pytest.raises(InvalidToken):
            await find_key(rpc, new_key.key)


async def test_key_needs_a_second_factor_of_its_maker_where_required(
    deps_with: Callable[..., Awaitable[UserDeps]], new_key: NewApiKey
) -> None:
    deps = await deps_with()
    async with deps.db.connection() as connection:
        assert (await api_keys.find(connection, hash_token(new_key.key), admins_need_totp=False)).id == new_key.id
        with pytest.raises(InvalidToken):
            await api_keys.find(connection, hash_token(new_key.key), admins_need_totp=True)


async def test_revocation_is_published_after_a_crash(new_key: NewApiKey, http: HttpClient, database: Databases) -> None:
    machines = http.with_token(new_key.key)
    assert (await machines.get("/orders?limit=1")).status == 200
    connection = await database("user")
    await connection.execute("UPDATE api_key SET revoked_at = now() WHERE id = $1", new_key.id)

    async def error() -> bool:
        return (await machines.get("/orders?limit=1")).status == 401

    await eventually(error)


async def test_administrator_has_a_limit_of_keys(rpc: RpcCaller, key_admin: Identity, database: Databases) -> None:
    connection = await database("user")
    keys_below_limit = [
        (new_id(), key_admin.user_id, "one of many", [], hash_token(new_id().hex)) for _ in range(MAX_API_KEYS - 1)
    ]
    await connection.executemany(
        "INSERT INTO api_key (id, made_by, name, scopes, digest) VALUES ($1, $2, $3, $4, $5)", keys_below_limit
    )
    making = (rpc(user.MAKE_API_KEY, BODY, identity=key_admin) for _ in range(5))
    results = await asyncio.gather(*making, return_exceptions=True)
    assert [type(one) for one in results if isinstance(one, Exception)] == [TooManyApiKeys] * 4
    await rpc(user.REVOKE_API_KEY, {"id": str(keys_below_limit[0][0])}, identity=key_admin)
    await rpc(user.MAKE_API_KEY, BODY, identity=key_admin)


async def test_last_use_is_recorded_once_a_minute(
    rpc: RpcCaller, key_admin: Identity, new_key: NewApiKey, database: Databases
) -> None:
    async def used() -> Any:
        return (await list_keys(rpc, key_admin))[0].last_used_at

    assert await used() is None
    await find_key(rpc, new_key.key)
    first = await used()
    await find_key(rpc, new_key.key)
    assert await used() == first
    connection = await database("user")
    await connection.execute("UPDATE api_key SET used_at = used_at - interval '2 minutes' WHERE id = $1", new_key.id)
    await find_key(rpc, new_key.key)
    assert await used() > first


async def test_keys_are_listed_in_pages(rpc: RpcCaller, key_admin: Identity, new_key: NewApiKey) -> None:
    newer = await rpc(user.MAKE_API_KEY, BODY, identity=key_admin)
    page = await rpc(user.LIST_API_KEYS, {"limit": 1}, identity=key_admin)
    assert page.items[0].id >= newer.id
    after: list[UUID] = []
    while page.next and new_key.id not in after:
        page = await rpc(user.LIST_API_KEYS, {"limit": 1, "after": page.next}, identity=key_admin)
        after += [key.id for key in page.items]
    assert new_key.id in after


async def test_revoked_key_is_deleted_once_no_edge_caches_it(
    deps_with: Callable[..., Awaitable[UserDeps]], new_key: NewApiKey, database: Databases
) -> None:
    connection, deps = await database("user"), await deps_with()
    for age, rows_left in (("10 minutes", 1), ("1 hour", 0)):
        await connection.execute(
            "UPDATE api_key SET revoked_at = now() - $2::text::interval, told_at = now() WHERE id = $1", new_key.id, age
        )
        await cleanup.delete_expired(deps)
        assert await connection.fetchval("SELECT count(*) FROM api_key WHERE id = $1", new_key.id) == rows_left
