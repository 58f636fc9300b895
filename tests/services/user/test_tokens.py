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
from infra.messaging.rpc import Ask
from infra.ops.devstack.stack import Stack
from services.user.deps import Desk
from services.user.handlers import profile
from services.user.security.signing_keys import Keyring, KeysSealed
from tests.services.user.conftest import Member
from tests.support.rpc import Edge

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
Desks = Callable[..., Awaitable[Desk]]


async def test_an_access_token_is_signed_with_a_published_key(ask: Edge, member: Member) -> None:
    token = member.session.access_token
    header = jwt.get_unverified_header(token)
    keys = {key["kid"]: key for key in (await ask(user.JWKS)).keys}
    assert header == {"alg": "RS256", "typ": "JWT", "kid": header["kid"]}
    claims = jwt.decode(token, PyJWK(keys[header["kid"]]), ["RS256"], audience=user.AUDIENCE, issuer=user.ISSUER)
    assert set(claims) == {"iss", "aud", "sub", "role", "iat", "exp", "jti", "typ", "sid"}
    assert (claims["sub"], claims["role"], claims["typ"]) == (str(member.session.user.id), "customer", "access")
    assert claims["exp"] - claims["iat"] == user.ACCESS_TTL == member.session.expires_in


async def test_a_session_keeps_its_id_and_each_token_has_its_own(ask: Edge, member: Member) -> None:
    again = await ask(user.REFRESH, {"refresh_token": member.session.refresh_token})
    other = await ask(user.LOGIN, member.credentials)
    first, second, third = (
        jwt.decode(session.access_token, options={"verify_signature": False})
        for session in (member.session, again, other)
    )
    assert first["sid"] == second["sid"] != third["sid"]
    assert len({first["jti"], second["jti"], third["jti"]}) == 3


async def test_only_the_public_half_is_published(ask: Edge) -> None:
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
    with pytest.raises(KeysSealed, match="SOUK_KEYS_SECRET"):
        await Keyring(desk.db, SecretStr("not the one they were made with")).reload()


async def test_processes_that_start_together_make_one_key(own_desk: Desk, stack: Stack) -> None:
    secret = SecretStr(stack.vault.secret("user", "souk_keys_secret"))
    found = await asyncio.gather(*(Keyring(own_desk.db, secret).all() for _ in range(5)))
    assert len({key.kid for keys in found for key in keys}) == 1


async def test_a_keyring_follows_what_is_in_use(own_desk: Desk) -> None:
    """One that is retired is gone, and when none is left another is made."""
    (before,) = await own_desk.keyring.all()
    await _change(own_desk, "UPDATE signing_key SET retired_at = now()")
    await own_desk.keyring.reload()
    (after,) = await own_desk.keyring.all()
    assert after.kid != before.kid
    await _change(own_desk, "UPDATE signing_key SET retired_at = NULL")
    await own_desk.keyring.reload()
    assert [key.kid for key in await own_desk.keyring.all()] == [after.kid, before.kid]


async def test_keys_and_the_pepper_are_starred_out(desk_with: Desks) -> None:
    desk = await desk_with()
    (key, *_) = await desk.keyring.all()
    assert "PrivateKey" not in repr(key)
    assert repr(desk.pepper) not in repr(desk)


async def test_a_rotation_signs_nobody_out(own_desk: Desk) -> None:
    """The new key is published at once, signs once it is settled, and the old one is good until its tokens are not."""
    (before,) = await own_desk.keyring.all()
    ask = Ask(Empty(), operation=user.ROTATE_KEYS)
    answer = await profile.rotate_keys(own_desk, ask)
    assert answer.former == [before.kid]
    assert [key["kid"] for key in (await profile.jwks(own_desk, ask)).keys] == [answer.kid, before.kid]
    assert await _signs(own_desk) == before.kid
    await _change(own_desk, "UPDATE signing_key SET created_at = created_at - interval '91 s' WHERE retired_at IS NULL")
    await own_desk.keyring.reload()
    assert await _signs(own_desk) == answer.kid
    async with own_desk.db.connection() as connection:
        assert await connection.fetchval("SELECT min(retired_at) > now() + interval '15 min' FROM signing_key")


async def _signs(desk: Desk) -> str:
    return str(jwt.get_unverified_header(await desk.keyring.sign({}))["kid"])


async def _change(desk: Desk, statement: str) -> None:
    async with desk.db.connection() as connection:
        await connection.execute(statement)
