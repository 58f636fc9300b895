"""Signing in, staying signed in, signing out."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable
from typing import Literal

import asyncpg
import bcrypt
import pytest

from contracts import headers, user
from contracts.failure import Fail, InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.user import InvalidCredentials, InvalidRefreshToken, SessionTokens, TokenReused
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.user.deps import UserDeps
from services.user.domain.tokens import hash_token
from services.user.handlers import sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member, identity_of, registration_body
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
BAN = "UPDATE account SET is_active = false WHERE id = $1"


async def refresh(rpc: RpcCaller, session: SessionTokens, **options: str) -> SessionTokens:
    tokens: SessionTokens = await rpc(user.REFRESH, {"refresh_token": session.refresh_token}, **options)
    return tokens


async def test_login_accepts_any_spelling_of_the_email(rpc: RpcCaller, member: Member) -> None:
    for email in (member.email, member.email.upper(), f" {member.email} "):
        session = await rpc(user.LOGIN, {"email": email, "password": PASSWORD})
        assert session.user == member.session.user
        assert session.refresh_token != member.session.refresh_token


@pytest.mark.parametrize(
    "password", ["wrong horse", "", "🐎" * 19, PASSWORD + "\0", PASSWORD[:-1], PASSWORD.upper(), "a" * 1024]
)
async def test_wrong_password_and_unknown_email_get_the_same_reply(
    rpc: RpcCaller, member: Member, client_ip: str, password: str
) -> None:
    problems = []
    for email in (member.email, f"{new_id().hex}@example.com", "not an address", ""):
        with pytest.raises(InvalidCredentials) as error:
            await rpc(user.LOGIN, {"email": email, "password": password}, client=client_ip)
        problems.append(error.value.to_problem())
    assert all(problem == problems[0] for problem in problems)


@pytest.mark.parametrize(
    "body",
    [
        {"email": "ada@example.com"},
        {"email": "ada@example.com", "password": {"$gt": ""}},
        {"email": ["ada@example.com"], "password": "correct horse"},
        {"email": "ada@example.com", "password": "correct horse", "role": "admin"},
        {"email": "ada@example.com", "password": "a" * 1025},
    ],
)
async def test_invalid_login_requests_are_refused(rpc: RpcCaller, body: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await rpc(user.LOGIN, body)


async def test_unknown_email_takes_as_many_hashes_as_a_wrong_password(
    member: Member, deps_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    counts = []
    for email in (member.email, f"{new_id().hex}@example.com"):
        deps = await deps_with()
        body = user.Login.model_validate_json(f'{{"email": "{email}", "password": "wrong horse"}}')
        with pytest.raises(InvalidCredentials):
            await sessions.login(deps, Request(body, client_ip=new_id().hex))
        counts.append(hash_count(deps))
    assert counts == [1, 1]


def hash_count(deps: UserDeps) -> float | None:
    return deps.password_hasher.registry.get_sample_value("souk_password_hash_seconds_count")


async def test_banned_account_gets_the_reply_of_a_wrong_password(
    rpc: RpcCaller, member: Member, database: Databases, client_ip: str
) -> None:
    await (await database("user")).execute(BAN, member.session.user.id)
    with pytest.raises(InvalidCredentials):
        await rpc(user.LOGIN, member.credentials, client=client_ip)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, member.session)


async def test_refresh_returns_a_new_pair(rpc: RpcCaller, member: Member) -> None:
    second = await refresh(rpc, member.session)
    third = await refresh(rpc, second)
    assert second.user == third.user == member.session.user
    assert len({one.refresh_token for one in (member.session, second, third)}) == 3
    assert len({one.access_token for one in (member.session, second, third)}) == 3


async def test_reused_token_ends_its_session_only(rpc: RpcCaller, member: Member) -> None:
    other_session = await rpc(user.LOGIN, member.credentials)
    second = await refresh(rpc, await refresh(rpc, member.session))
    for _ in range(2):
        with pytest.raises(TokenReused):
            await refresh(rpc, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, second)
    await refresh(rpc, other_session)


async def test_concurrent_refreshes_with_one_token_get_the_same_successor(rpc: RpcCaller, member: Member) -> None:
    results = await asyncio.gather(*(refresh(rpc, member.session) for _ in range(10)))
    assert len({session.refresh_token for session in results}) == 1
    assert len({session.access_token for session in results}) == 10
    await refresh(rpc, results[0])


async def test_every_repetition_within_the_grace_period_gets_the_same_successor(rpc: RpcCaller, member: Member) -> None:
    second = await refresh(rpc, member.session)
    for _ in range(3):
        again = await refresh(rpc, member.session)
        assert again.refresh_token == second.refresh_token
        assert again.access_token != second.access_token
    third = await refresh(rpc, second)
    with pytest.raises(TokenReused):
        await refresh(rpc, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, third)


async def test_parallel_tabs_may_refresh_in_turn_again_and_again(rpc: RpcCaller, member: Member) -> None:
    """Each round is three tabs of one browser that wake up at once with the token of the round before."""
    session = member.session
    for _ in range(3):
        tabs = await asyncio.gather(*(refresh(rpc, session) for _ in range(3)))
        assert len({tab.refresh_token for tab in tabs}) == 1
        session = tabs[-1]


async def test_repetition_does_not_revive_an_ended_session(rpc: RpcCaller, member: Member) -> None:
    second = await refresh(rpc, member.session)
    await rpc(user.LOGOUT, {"refresh_token": second.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, member.session)


async def test_successors_are_erased_after_the_grace_period(
    rpc: RpcCaller, member: Member, database: Databases, deps_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    connection, digest = await database("user"), hash_token(member.session.refresh_token)
    sealed = "SELECT successor FROM refresh_token WHERE digest = $1"
    second = await refresh(rpc, member.session)
    await delete_expired(await deps_with())
    assert await connection.fetchval(sealed, digest) is not None
    assert (await refresh(rpc, member.session)).refresh_token == second.refresh_token
    await delete_expired(await deps_with(refresh_grace=0.0))
    assert await connection.fetchval(sealed, digest) is None
    with pytest.raises(TokenReused):
        await refresh(rpc, member.session)


async def test_token_whose_successor_is_spent_ends_the_session(rpc: RpcCaller, member: Member) -> None:
    third = await refresh(rpc, await refresh(rpc, member.session))
    with pytest.raises(TokenReused):
        await refresh(rpc, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, third)


async def test_successor_is_not_returned_after_the_grace_period(
    rpc: RpcCaller, member: Member, database: Databases
) -> None:
    second = await refresh(rpc, member.session)
    await (await database("user")).execute(
        "UPDATE refresh_token SET spent_at = spent_at - interval '10 s' WHERE digest = $1",
        hash_token(member.session.refresh_token),
    )
    with pytest.raises(TokenReused):
        await refresh(rpc, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, second)


async def test_repeated_request_is_not_a_reuse(rpc: RpcCaller, member: Member) -> None:
    body, key = {"refresh_token": member.session.refresh_token}, new_id().hex
    answers = await asyncio.gather(*(rpc.raw(user.REFRESH, body, key=key) for _ in range(10)))
    assert len({answer for answer, _ in answers}) == 1
    assert sum(headers.REPLAYED not in header for _, header in answers) == 1
    await refresh(rpc, SessionTokens.model_validate_json(answers[0][0]))


@pytest.mark.parametrize("token", ["unknown", "' OR true --", "🐎", "a" * 512])
async def test_unknown_token_is_refused(rpc: RpcCaller, token: str) -> None:
    with pytest.raises(InvalidRefreshToken):
        await rpc(user.REFRESH, {"refresh_token": token})


async def test_access_token_cannot_refresh(rpc: RpcCaller, member: Member) -> None:
    with pytest.raises(Fail) as error:
        await rpc(user.REFRESH, {"refresh_token": member.session.access_token[:512]})
    assert error.value.code == "invalid_refresh_token"


async def test_expired_token_is_refused(rpc: RpcCaller, member: Member, database: Databases) -> None:
    await expire_sessions(await database("user"), member)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, member.session)


async def test_expired_sessions_are_deleted_and_active_ones_stay(
    rpc: RpcCaller, member: Member, database: Databases, deps_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    active = await rpc(user.LOGIN, member.credentials)
    connection = await database("user")
    expired = await connection.fetchval(
        "SELECT id FROM session WHERE account_id = $1 ORDER BY id LIMIT 1", member.session.user.id
    )
    await expire_sessions(connection, member, expired)
    assert not await delete_expired(await deps_with())
    count_rows = await connection.fetch("SELECT id FROM session WHERE account_id = $1", member.session.user.id)
    assert len(count_rows) == 1
    await refresh(rpc, active)


async def expire_sessions(connection: asyncpg.Connection, member: Member, session: object = None) -> None:
    """Moves the expiry of all the customer's sessions, or of one, into the past."""
    chosen = "SELECT id FROM session WHERE account_id = $1 AND ($2::uuid IS NULL OR id = $2)"
    for table, key in (("refresh_token", "session_id"), ("session", "id")):
        await connection.execute(
            f"UPDATE {table} SET expires_at = now() - interval '1 s' WHERE {key} IN ({chosen})",  # noqa: S608
            member.session.user.id,
            session,
        )


async def test_logout_ends_its_session_only(rpc: RpcCaller, member: Member) -> None:
    other_session = await rpc(user.LOGIN, member.credentials)
    current = await refresh(rpc, member.session)
    for _ in range(2):
        await rpc(user.LOGOUT, {"refresh_token": current.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, current)
    await refresh(rpc, other_session)


async def test_logout_with_a_spent_token_ends_the_session(rpc: RpcCaller, member: Member) -> None:
    current = await refresh(rpc, member.session)
    await rpc(user.LOGOUT, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, current)


async def test_logout_accepts_an_unknown_token(rpc: RpcCaller) -> None:
    await rpc(user.LOGOUT, {"refresh_token": "unknown"})


async def test_customer_lists_sessions_and_ends_one(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    identity = identity_of(member.session)
    other_session = await rpc(user.LOGIN, member.credentials, client=client_ip)
    there, here = (await rpc(user.LIST_SESSIONS, identity=identity)).items
    assert (there.address, there.current, here.current) == (client_ip, False, True)
    assert here.id == identity.session_id
    current = await refresh(rpc, other_session, client="203.0.113.5")
    (used, _) = (await rpc(user.LIST_SESSIONS, identity=identity)).items
    assert used.address == "203.0.113.5"
    assert used.used_at > there.used_at
    await rpc(user.END_SESSION, {"id": str(there.id)}, identity=identity)
    with pytest.raises(InvalidRefreshToken):
        await refresh(rpc, current)
    assert [one.id for one in (await rpc(user.LIST_SESSIONS, identity=identity)).items] == [here.id]
    with pytest.raises(NotFound):
        await rpc(user.END_SESSION, {"id": str(there.id)}, identity=identity)


async def test_session_of_another_user_cannot_be_ended(
    rpc: RpcCaller, member: Member, new_customer: Callable[[], Identity]
) -> None:
    identity = identity_of(member.session)
    with pytest.raises(NotFound):
        await rpc(user.END_SESSION, {"id": str(identity.session_id)}, identity=new_customer())
    await refresh(rpc, member.session)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_password_may_be_typed_on_another_keyboard(
    rpc: RpcCaller, database: Databases, form: Literal["NFC", "NFD"]
) -> None:
    """Also where the stored hash is an old one, of a password that was not in NFC. It is replaced."""
    password = "hunter Crème Brûlée"
    body = registration_body(password=unicodedata.normalize("NFD", password))
    account = (await rpc(user.REGISTER, body)).user
    login = {"email": body["email"], "password": unicodedata.normalize(form, password)}
    await rpc(user.LOGIN, login)
    connection = await database("user")
    old = bcrypt.hashpw(unicodedata.normalize("NFD", password).encode(), bcrypt.gensalt(4)).decode()
    await connection.execute("UPDATE account SET password_hash = $2 WHERE id = $1", account.id, old)
    await rpc(user.LOGIN, login)
    stored = await connection.fetchval("SELECT password_hash FROM account WHERE id = $1", account.id)
    assert bcrypt.checkpw(unicodedata.normalize("NFC", password).encode(), stored.encode())
    await rpc(user.LOGIN, login)


async def test_password_is_rehashed_when_the_cost_has_changed(
    rpc: RpcCaller, member: Member, database: Databases, deps_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    deps = await deps_with(bcrypt_cost=5)
    body = user.Login.model_validate_json(f'{{"email": "{member.email}", "password": "{PASSWORD}"}}')
    await sessions.login(deps, Request(body, client_ip="203.0.113.6"))
    stored = await (await database("user")).fetchval(
        "SELECT password_hash FROM account WHERE id = $1", member.session.user.id
    )
    assert stored.split("$")[2] == "05"
    await rpc(user.LOGIN, member.credentials)
