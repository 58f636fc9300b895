"""Access tokens and the keys they are signed with."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import jwt
import pytest
from jwt import PyJWK
from pydantic import SecretStr

from contracts import user
from contracts.model import Empty
from infra.messaging.rpc_client import Request
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.handlers import signing_keys
from services.user.security.signing_keys import SigningKeys, WrongKeysSecret
from tests.services.user.conftest import Member
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
DepsFactory = Callable[..., Awaitable[UserDeps]]


async def test_access_token_is_signed_with_a_published_key(rpc: RpcCaller, member: Member) -> None:
    token = member.session.access_token
    header = jwt.get_unverified_header(token)
    keys = {key["kid"]: key for key in (await rpc(user.JWKS)).keys}
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    claims = jwt.decode(
        token, PyJWK(keys[header["kid"]]), ["RS256"], audience=user.TOKEN_AUDIENCE, issuer=user.TOKEN_ISSUER
    )
    assert set(claims) == {"iss", "aud", "sub", "role", "iat", "exp", "jti", "typ", "sid"}
    assert (claims["sub"], claims["role"], claims["typ"]) == (str(member.session.user.id), "customer", "access")
    assert claims["exp"] - claims["iat"] == user.ACCESS_TOKEN_TTL_SECONDS == member.session.expires_in


async def test_session_keeps_its_id_and_each_token_has_its_own(rpc: RpcCaller, member: Member) -> None:
    again = await rpc(user.REFRESH, {"refresh_token": member.session.refresh_token})
    other = await rpc(user.LOGIN, member.credentials)
    first, second, third = (
        jwt.decode(session.access_token, options={"verify_signature": False})
        for session in (member.session, again, other)
    )
    assert first["sid"] == second["sid"] != third["sid"]
    assert len({first["jti"], second["jti"], third["jti"]}) == 3


async def test_only_the_public_half_is_published(rpc: RpcCaller) -> None:
    keys = (await rpc(user.JWKS)).keys
    assert keys
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


async def test_private_keys_are_stored_encrypted(database: Databases, stack: Stack) -> None:
    for (sealed,) in await (await database("user")).fetch("SELECT sealed FROM signing_key"):
        assert sealed.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert stack.secrets.get_or_create("user", "souk_keys_secret") not in sealed


async def test_wrong_secret_is_reported(deps_with: DepsFactory) -> None:
    deps = await deps_with()
    with pytest.raises(WrongKeysSecret, match="SOUK_KEYS_SECRET"):
        await SigningKeys(deps.db, SecretStr("not the one they were made with")).reload()


async def test_concurrent_starts_create_one_key(fresh_deps: UserDeps, stack: Stack) -> None:
    secret = SecretStr(stack.secrets.get_or_create("user", "souk_keys_secret"))
    found = await asyncio.gather(*(SigningKeys(fresh_deps.db, secret).all() for _ in range(5)))
    assert len({key.kid for keys in found for key in keys}) == 1


async def test_reload_follows_the_database(fresh_deps: UserDeps) -> None:
    """A retired key is dropped, and when none is left a new one is made."""
    (before,) = await fresh_deps.signing_keys.all()
    await execute(fresh_deps, "UPDATE signing_key SET retired_at = now()")
    await fresh_deps.signing_keys.reload()
    (after,) = await fresh_deps.signing_keys.all()
    assert after.kid != before.kid
    await execute(fresh_deps, "UPDATE signing_key SET retired_at = NULL")
    await fresh_deps.signing_keys.reload()
    assert [key.kid for key in await fresh_deps.signing_keys.all()] == [after.kid, before.kid]


async def test_repr_hides_keys_and_pepper(deps_with: DepsFactory) -> None:
    deps = await deps_with()
    (key, *_) = await deps.signing_keys.all()
    assert "PrivateKey" not in repr(key)
    assert repr(deps.pepper) not in repr(deps)


async def test_rotation_ends_no_session(fresh_deps: UserDeps) -> None:
    """The new key is published at once and signs later; the old one stays until its last token has expired."""
    (before,) = await fresh_deps.signing_keys.all()
    request = Request(Empty(), operation=user.ROTATE_KEYS)
    answer = await signing_keys.rotate_keys(fresh_deps, request)
    assert answer.former == [before.kid]
    assert [key["kid"] for key in (await signing_keys.get_jwks(fresh_deps, request)).keys] == [answer.kid, before.kid]
    assert await active_kid(fresh_deps) == before.kid
    await execute(
        fresh_deps, "UPDATE signing_key SET created_at = created_at - interval '91 s' WHERE retired_at IS NULL"
    )
    await fresh_deps.signing_keys.reload()
    assert await active_kid(fresh_deps) == answer.kid
    async with fresh_deps.db.connection() as connection:
        assert await connection.fetchval("SELECT min(retired_at) > now() + interval '15 min' FROM signing_key")


async def active_kid(deps: UserDeps) -> str:
    return str(jwt.get_unverified_header(await deps.signing_keys.sign({}))["kid"])


async def execute(deps: UserDeps, statement: str) -> None:
    async with deps.db.connection() as connection:
        await connection.execute(statement)
