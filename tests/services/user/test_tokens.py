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
from infra.messaging.rpc import Request
from infra.ops.devstack.stack import Stack
from services.user.deps import UserDeps
from services.user.handlers import profile
from services.user.security.signing_keys import SigningKeys, WrongKeysSecret
from tests.services.user.conftest import Member
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Desks = Callable[..., Awaitable[UserDeps]]


async def test_an_access_token_is_signed_with_a_published_key(ask: RpcCaller, member: Member) -> None:
    token = member.session.access_token
    header = jwt.get_unverified_header(token)
    keys = {key["kid"]: key for key in (await ask(user.JWKS)).keys}
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    claims = jwt.decode(
        token, PyJWK(keys[header["kid"]]), ["RS256"], audience=user.TOKEN_AUDIENCE, issuer=user.TOKEN_ISSUER
    )
    assert set(claims) == {"iss", "aud", "sub", "role", "iat", "exp", "jti", "typ", "sid"}
    assert (claims["sub"], claims["role"], claims["typ"]) == (str(member.session.user.id), "customer", "access")
    assert claims["exp"] - claims["iat"] == user.ACCESS_TOKEN_TTL_SECONDS == member.session.expires_in


async def test_a_session_keeps_its_id_and_each_token_has_its_own(ask: RpcCaller, member: Member) -> None:
    again = await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    other = await ask(user.LOGIN, member.credentials)
    first, second, third = (
        jwt.decode(session.access_token, options={"verify_signature": False})
        for session in (member.session, again, other)
    )
    assert first["sid"] == second["sid"] != third["sid"]
    assert len({first["jti"], second["jti"], third["jti"]}) == 3


async def test_only_the_public_half_is_published(ask: RpcCaller) -> None:
    keys = (await ask(user.JWKS)).keys
    assert keys
    for key in keys:
        assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
        assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


async def test_private_keys_are_sealed(database: Databases, stack: Stack) -> None:
    for (sealed,) in await (await database("user")).fetch("SELECT sealed FROM signing_key"):
        assert sealed.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert stack.vault.secret("user", "souk_keys_secret") not in sealed


async def test_another_secret_opens_nothing(desk_with: Desks) -> None:
    desk = await desk_with()
    with pytest.raises(WrongKeysSecret, match="SOUK_KEYS_SECRET"):
        await SigningKeys(desk.db, SecretStr("not the one they were made with")).reload()


async def test_processes_that_start_together_make_one_key(own_desk: UserDeps, stack: Stack) -> None:
    secret = SecretStr(stack.vault.secret("user", "souk_keys_secret"))
    found = await asyncio.gather(*(SigningKeys(own_desk.db, secret).all() for _ in range(5)))
    assert len({key.kid for keys in found for key in keys}) == 1


async def test_a_keyring_follows_what_is_in_use(own_desk: UserDeps) -> None:
    """One that is retired is gone, and when none is left another is made."""
    (before,) = await own_desk.signing_keys.all()
    await _change(own_desk, "UPDATE signing_key SET retired_at = now()")
    await own_desk.signing_keys.reload()
    (after,) = await own_desk.signing_keys.all()
    assert after.kid != before.kid
    await _change(own_desk, "UPDATE signing_key SET retired_at = NULL")
    await own_desk.signing_keys.reload()
    assert [key.kid for key in await own_desk.signing_keys.all()] == [after.kid, before.kid]


async def test_keys_and_the_pepper_are_starred_out(desk_with: Desks) -> None:
    desk = await desk_with()
    (key, *_) = await desk.signing_keys.all()
    assert "PrivateKey" not in repr(key)
    assert repr(desk.pepper) not in repr(desk)


async def test_a_rotation_signs_nobody_out(own_desk: UserDeps) -> None:
    """The new key is published at once, signs once it is settled, and the old one is good until its tokens are not."""
    (before,) = await own_desk.signing_keys.all()
    ask = Request(Empty(), operation=user.ROTATE_KEYS)
    answer = await profile.rotate_keys(own_desk, ask)
    assert answer.former == [before.kid]
    assert [key["kid"] for key in (await profile.get_jwks(own_desk, ask)).keys] == [answer.kid, before.kid]
    assert await _signs(own_desk) == before.kid
    await _change(own_desk, "UPDATE signing_key SET created_at = created_at - interval '91 s' WHERE retired_at IS NULL")
    await own_desk.signing_keys.reload()
    assert await _signs(own_desk) == answer.kid
    async with own_desk.db.connection() as connection:
        assert await connection.fetchval("SELECT min(retired_at) > now() + interval '15 min' FROM signing_key")


async def _signs(desk: UserDeps) -> str:
    return str(jwt.get_unverified_header(await desk.signing_keys.sign({}))["kid"])


async def _change(desk: UserDeps, statement: str) -> None:
    async with desk.db.connection() as connection:
        await connection.execute(statement)
