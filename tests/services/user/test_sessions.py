"""Signing in, staying signed in, signing out."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import headers, user
from contracts.failure import Fail, InvalidRequest, NotFound
from contracts.identity import Identity
from contracts.user import InvalidCredentials, InvalidRefreshToken, SessionTokens, TokenReused
from infra.foundation.ids import new_id
from infra.messaging.rpc import Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.handlers import sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member, identity_of
from tests.support.rpc import RpcCaller

Databases = Callable[[str], Awaitable[asyncpg.Connection]]
BAN = "UPDATE account SET is_active = false WHERE id = $1"


async def refreshed(ask: RpcCaller, session: SessionTokens, **how: str) -> SessionTokens:
    found: SessionTokens = await ask(user.REFRESH, {"refresh_token": session.refresh_token}, **how)
    return found


async def test_somebody_signs_in_however_they_spell_their_email(ask: RpcCaller, member: Member) -> None:
    for email in (member.email, member.email.upper(), f" {member.email} "):
        session = await ask(user.LOGIN, {"email": email, "password": PASSWORD})
        assert session.user == member.session.user
        assert session.refresh_token != member.session.refresh_token


@pytest.mark.parametrize(
    "password", ["wrong horse", "", "🐎" * 19, PASSWORD + "\0", PASSWORD[:-1], PASSWORD.upper(), "a" * 1024]
)
async def test_a_wrong_password_and_an_unknown_email_are_told_alike(
    ask: RpcCaller, member: Member, address: str, password: str
) -> None:
    problems = []
    for email in (member.email, f"{new_id().hex}@example.com", "not an address", ""):
        with pytest.raises(InvalidCredentials) as refused:
            await ask(user.LOGIN, {"email": email, "password": password}, client=address)
        problems.append(refused.value.to_problem())
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
async def test_what_is_no_login_is_refused(ask: RpcCaller, body: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        await ask(user.LOGIN, body)


async def test_an_unknown_email_takes_as_many_hashes_as_a_wrong_password(
    member: Member, desk_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    counts = []
    for email in (member.email, f"{new_id().hex}@example.com"):
        desk = await desk_with()
        body = user.Login.model_validate_json(f'{{"email": "{email}", "password": "wrong horse"}}')
        with pytest.raises(InvalidCredentials):
            await sessions.login(desk, Request(body, client_ip=new_id().hex))
        counts.append(hashes(desk))
    assert counts == [1, 1]


def hashes(desk: UserDeps) -> float | None:
    return desk.password_hasher.registry.get_sample_value("souk_password_hash_seconds_count")


async def test_a_banned_account_is_told_like_a_wrong_password(
    ask: RpcCaller, member: Member, database: Databases, address: str
) -> None:
    await (await database("user")).execute(BAN, member.session.user.id)
    with pytest.raises(InvalidCredentials):
        await ask(user.LOGIN, member.credentials, client=address)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, member.session)


async def test_a_refresh_token_buys_a_new_pair(ask: RpcCaller, member: Member) -> None:
    second = await refreshed(ask, member.session)
    third = await refreshed(ask, second)
    assert second.user == third.user == member.session.user
    assert len({one.refresh_token for one in (member.session, second, third)}) == 3
    assert len({one.access_token for one in (member.session, second, third)}) == 3


async def test_a_spent_token_ends_its_session_and_no_other(ask: RpcCaller, member: Member) -> None:
    elsewhere = await ask(user.LOGIN, member.credentials)
    second = await refreshed(ask, await refreshed(ask, member.session))
    for _ in range(2):
        with pytest.raises(TokenReused):
            await refreshed(ask, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, second)
    await refreshed(ask, elsewhere)


async def test_of_many_who_bring_one_token_at_once_one_wins(ask: RpcCaller, member: Member) -> None:
    """A second is taken for a lost reply and has the same; the others end the session."""
    outcomes = await asyncio.gather(*(refreshed(ask, member.session) for _ in range(10)), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, SessionTokens)]
    assert len({session.refresh_token for session in won}) == 1
    assert 1 <= len(won) <= 2
    assert {type(outcome) for outcome in outcomes} <= {SessionTokens, TokenReused, InvalidRefreshToken}
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, won[0])


async def test_who_lost_the_reply_has_it_once_more(ask: RpcCaller, member: Member) -> None:
    second = await refreshed(ask, member.session)
    again = await refreshed(ask, member.session)
    assert again.refresh_token == second.refresh_token
    assert again.access_token != second.access_token
    third = await refreshed(ask, again)
    with pytest.raises(TokenReused):
        await refreshed(ask, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, third)


async def test_a_spent_token_whose_successor_is_spent_was_stolen(ask: RpcCaller, member: Member) -> None:
    third = await refreshed(ask, await refreshed(ask, member.session))
    with pytest.raises(TokenReused):
        await refreshed(ask, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, third)


async def test_after_the_grace_nobody_has_lost_a_reply(ask: RpcCaller, member: Member, database: Databases) -> None:
    second = await refreshed(ask, member.session)
    await (await database("user")).execute(
        "UPDATE refresh_token SET spent_at = spent_at - interval '10 s' WHERE digest = $1",
        domain.hash_token(member.session.refresh_token),
    )
    with pytest.raises(TokenReused):
        await refreshed(ask, member.session)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, second)


async def test_the_same_refresh_sent_again_is_no_reuse(ask: RpcCaller, member: Member) -> None:
    body, key = {"refresh_token": member.session.refresh_token}, new_id().hex
    answers = await asyncio.gather(*(ask.raw(user.REFRESH, body, key=key) for _ in range(10)))
    assert len({answer for answer, _ in answers}) == 1
    assert sum(headers.REPLAYED not in header for _, header in answers) == 1
    await refreshed(ask, SessionTokens.model_validate_json(answers[0][0]))


@pytest.mark.parametrize("token", ["unknown", "' OR true --", "🐎", "a" * 512])
async def test_an_unknown_token_is_refused(ask: RpcCaller, token: str) -> None:
    with pytest.raises(InvalidRefreshToken):
        await ask(user.REFRESH, {"refresh_token": token})


async def test_an_access_token_does_not_refresh(ask: RpcCaller, member: Member) -> None:
    with pytest.raises(Fail) as refused:
        await ask(user.REFRESH, {"refresh_token": member.session.access_token[:512]})
    assert refused.value.code == "invalid_refresh_token"


async def test_an_expired_token_is_refused(ask: RpcCaller, member: Member, database: Databases) -> None:
    await _expire(await database("user"), member)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, member.session)


async def test_expired_sessions_are_forgotten_and_living_ones_kept(
    ask: RpcCaller, member: Member, database: Databases, desk_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    living = await ask(user.LOGIN, member.credentials)
    connection = await database("user")
    expired = await connection.fetchval(
        "SELECT id FROM session WHERE account_id = $1 ORDER BY id LIMIT 1", member.session.user.id
    )
    await _expire(connection, member, expired)
    assert not await delete_expired(await desk_with())
    left = await connection.fetch("SELECT id FROM session WHERE account_id = $1", member.session.user.id)
    assert len(left) == 1
    await refreshed(ask, living)


async def _expire(connection: asyncpg.Connection, member: Member, session: object = None) -> None:
    """Sets the expiry of all sessions of somebody, or of one, back into the past."""
    chosen = "SELECT id FROM session WHERE account_id = $1 AND ($2::uuid IS NULL OR id = $2)"
    for table, key in (("refresh_token", "session_id"), ("session", "id")):
        await connection.execute(
            f"UPDATE {table} SET expires_at = now() - interval '1 s' WHERE {key} IN ({chosen})",  # noqa: S608
            member.session.user.id,
            session,
        )


async def test_a_logout_ends_the_session_and_no_other(ask: RpcCaller, member: Member) -> None:
    elsewhere = await ask(user.LOGIN, member.credentials)
    current = await refreshed(ask, member.session)
    for _ in range(2):
        await ask(user.LOGOUT, {"refresh_token": current.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, current)
    await refreshed(ask, elsewhere)


async def test_a_logout_with_a_spent_token_ends_the_session_too(ask: RpcCaller, member: Member) -> None:
    current = await refreshed(ask, member.session)
    await ask(user.LOGOUT, {"refresh_token": member.session.refresh_token})
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, current)


async def test_a_logout_says_nothing_of_an_unknown_token(ask: RpcCaller) -> None:
    await ask(user.LOGOUT, {"refresh_token": "unknown"})


async def test_somebody_sees_where_they_are_signed_in_and_ends_one(
    ask: RpcCaller, member: Member, address: str
) -> None:
    who = identity_of(member.session)
    elsewhere = await ask(user.LOGIN, member.credentials, client=address)
    there, here = (await ask(user.LIST_SESSIONS, identity=who)).items
    assert (there.address, there.current, here.current) == (address, False, True)
    assert here.id == who.session_id
    current = await refreshed(ask, elsewhere, client="203.0.113.5")
    (used, _) = (await ask(user.LIST_SESSIONS, identity=who)).items
    assert used.address == "203.0.113.5"
    assert used.used_at > there.used_at
    await ask(user.END_SESSION, {"id": str(there.id)}, identity=who)
    with pytest.raises(InvalidRefreshToken):
        await refreshed(ask, current)
    assert [one.id for one in (await ask(user.LIST_SESSIONS, identity=who)).items] == [here.id]
    with pytest.raises(NotFound):
        await ask(user.END_SESSION, {"id": str(there.id)}, identity=who)


async def test_nobody_ends_the_session_of_another(
    ask: RpcCaller, member: Member, new_customer: Callable[[], Identity]
) -> None:
    who = identity_of(member.session)
    with pytest.raises(NotFound):
        await ask(user.END_SESSION, {"id": str(who.session_id)}, identity=new_customer())
    await refreshed(ask, member.session)


async def test_a_password_is_hashed_anew_when_the_cost_has_changed(
    ask: RpcCaller, member: Member, database: Databases, desk_with: Callable[..., Awaitable[UserDeps]]
) -> None:
    desk = await desk_with(bcrypt_cost=5)
    body = user.Login.model_validate_json(f'{{"email": "{member.email}", "password": "{PASSWORD}"}}')
    await sessions.login(desk, Request(body, client_ip="203.0.113.6"))
    kept = await (await database("user")).fetchval(
        "SELECT password_hash FROM account WHERE id = $1", member.session.user.id
    )
    assert kept.split("$")[2] == "05"
    await ask(user.LOGIN, member.credentials)
