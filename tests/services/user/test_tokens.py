"""Access tokens and the keys they are signed with."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import jwt
import pytest
from jwt import PyJWK
from pydantic import SecretStr

from contracts import user
from infra.stack.stack import Stack
from services.user.desk import Desk
from services.user.keyring import Keyring, KeysSealed
from tests.services.user.conftest import Member
from tests.support.asking import Edge
from tests.support.http import Customer

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


async def test_processes_that_start_together_make_one_key(desk_with: Desks, stack: Stack, database: Databases) -> None:
    """Tried while the keys there are count as retired, as the first start finds it."""
    connection = await database("user")
    retired = await connection.fetch("UPDATE signing_key SET retired_at = now() RETURNING kid")
    desk = await desk_with()
    secret = SecretStr(stack.vault.secret("user", "souk_keys_secret"))
    try:
        found = await asyncio.gather(*(Keyring(desk.db, secret).all() for _ in range(5)))
    finally:
        known = [row["kid"] for row in retired]
        await connection.execute("DELETE FROM signing_key WHERE kid <> ALL($1)", known)
        await connection.execute("UPDATE signing_key SET retired_at = NULL")
    assert len({key.kid for keys in found for key in keys}) == 1
    assert found[0][0].kid not in known


async def test_a_keyring_follows_what_is_in_use(desk_with: Desks, database: Databases) -> None:
    desk = await desk_with()
    before = await desk.keyring.all()
    connection = await database("user")
    await connection.execute("UPDATE signing_key SET retired_at = now() WHERE kid = $1", before[0].kid)
    await desk.keyring.reload()
    after = await desk.keyring.all()
    made = {key.kid for key in after} - {key.kid for key in before}
    await connection.execute("DELETE FROM signing_key WHERE kid = ANY($1)", list(made))
    await connection.execute("UPDATE signing_key SET retired_at = NULL WHERE kid = $1", before[0].kid)
    assert before[0].kid not in {key.kid for key in after}
    await desk.keyring.reload()
    assert [key.kid for key in await desk.keyring.all()] == [key.kid for key in before]


async def test_keys_and_the_pepper_are_starred_out(desk_with: Desks) -> None:
    desk = await desk_with()
    (key, *_) = await desk.keyring.all()
    assert "PrivateKey" not in repr(key)
    assert repr(desk.pepper) not in repr(desk)


async def test_a_rotation_signs_nobody_out(
    operator: Edge, ask: Edge, customer: Customer, desk_with: Desks, database: Databases
) -> None:
    """The new key is published at once, signs once it is settled, and the old one is good until its tokens are not."""
    connection = await database("user")
    before = [row["kid"] for row in await connection.fetch("SELECT kid FROM signing_key WHERE retired_at IS NULL")]
    try:
        done = await operator(user.ROTATE_KEYS)
        assert done.former == before
        assert {key["kid"] for key in (await ask(user.JWKS)).keys} == {done.kid, *before}
        desk = await desk_with()
        assert jwt.get_unverified_header(await desk.keyring.sign({}))["kid"] in before
        await connection.execute(
            "UPDATE signing_key SET created_at = created_at - interval '91 s' WHERE kid = $1", done.kid
        )
        await desk.keyring.reload()
        assert jwt.get_unverified_header(await desk.keyring.sign({}))["kid"] == done.kid
        assert (await customer.http.get("/users/profile")).status == 200
        left = await connection.fetchval("SELECT min(retired_at) > now() + interval '15 min' FROM signing_key")
        assert left
    finally:
        await connection.execute("DELETE FROM signing_key WHERE kid <> ALL($1)", before)
        await connection.execute("UPDATE signing_key SET retired_at = NULL")
