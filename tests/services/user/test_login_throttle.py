"""Failed logins, and when they are too many."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import user
from contracts.failure import Overloaded
from contracts.user import InvalidCredentials, SessionTokens, TooManyAttempts
from infra.foundation.ids import new_id
from infra.messaging.rpc import Request
from services.user.deps import UserDeps
from services.user.domain import accounts as domain
from services.user.handlers import sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member
from tests.support.rpc import RpcCaller

Desks = Callable[..., Awaitable[UserDeps]]


async def tried(ask: RpcCaller, email: str, address: str, password: str = "wrong horse") -> str:  # noqa: S107
    """What became of a login."""
    try:
        await ask(user.LOGIN, {"email": email, "password": password}, client=address)
    except (InvalidCredentials, TooManyAttempts) as fail:
        return fail.code
    return "ok"


async def several(times: int, ask: RpcCaller, email: str, address: str) -> list[str]:
    return [await tried(ask, email, address) for _ in range(times)]


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_nobody_gets_in_from_there(
    ask: RpcCaller, member: Member, address: str, *, known: bool
) -> None:
    email = member.email if known else f"{new_id().hex}@example.com"
    assert await several(7, ask, email, address) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 2
    with pytest.raises(TooManyAttempts) as refused:
        await ask(user.LOGIN, {"email": email.upper(), "password": PASSWORD}, client=address)
    assert 890 <= (refused.value.retry_after or 0) <= 900


async def test_a_stranger_does_not_lock_anybody_out(ask: RpcCaller, member: Member, address: str) -> None:
    assert "too_many_attempts" in await several(6, ask, member.email, address)
    assert await tried(ask, member.email, "203.0.113.77", PASSWORD) == "ok"
    assert await tried(ask, f"{new_id().hex}@example.com", address) == "invalid_credentials"


async def test_signing_in_clears_the_failures(ask: RpcCaller, member: Member, address: str) -> None:
    for _ in range(3):
        assert await several(4, ask, member.email, address) == ["invalid_credentials"] * 4
        assert await tried(ask, member.email, address, PASSWORD) == "ok"


async def test_guesses_at_once_count_like_guesses_in_turn(ask: RpcCaller, member: Member, address: str) -> None:
    outcomes = await asyncio.gather(*(tried(ask, member.email, address) for _ in range(30)))
    assert sorted(outcomes) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 25
    assert await tried(ask, member.email, address, PASSWORD) == "too_many_attempts"


async def test_right_passwords_at_once_are_no_failures(ask: RpcCaller, member: Member, address: str) -> None:
    outcomes = await asyncio.gather(*(tried(ask, member.email, address, PASSWORD) for _ in range(20)))
    assert outcomes == ["ok"] * 20


async def test_an_address_has_fifty_failures_whomever_it_tries(ask: RpcCaller, member: Member, address: str) -> None:
    outcomes = [await tried(ask, f"{new_id().hex}@example.com", address) for _ in range(51)]
    assert outcomes == ["invalid_credentials"] * 50 + ["too_many_attempts"]
    assert await tried(ask, member.email, address, PASSWORD) == "too_many_attempts"
    assert await tried(ask, member.email, "203.0.113.78", PASSWORD) == "ok"


async def test_an_ipv6_network_is_one_address(ask: RpcCaller, member: Member) -> None:
    network = f"2001:db8:{new_id().int % 0xFFFF:x}:1"
    outcomes = [await tried(ask, member.email, f"{network}::{host:x}") for host in range(1, 7)]
    assert outcomes == ["invalid_credentials"] * 5 + ["too_many_attempts"]


async def test_failures_count_for_a_while_and_are_then_forgotten(
    member: Member, desk_with: Desks, database: Callable[[str], Awaitable[asyncpg.Connection]], address: str
) -> None:
    desk = await desk_with(login_failures=1)
    with pytest.raises(InvalidCredentials):
        await login(desk, member.email, "wrong horse", address)
    with pytest.raises(TooManyAttempts):
        await login(desk, member.email, PASSWORD, address)
    connection = await database("user")
    await connection.execute(
        "UPDATE login_failure SET failed_at = failed_at - interval '900 s' WHERE address = $1", address
    )
    await login(desk, member.email, PASSWORD, address)
    await delete_expired(desk)
    assert not await connection.fetchval("SELECT count(*) FROM login_failure WHERE address = $1", address)


async def test_who_was_tried_cannot_be_read_from_the_failures(
    ask: RpcCaller, member: Member, database: Callable[[str], Awaitable[asyncpg.Connection]], address: str
) -> None:
    await tried(ask, member.email, address)
    kept = await (await database("user")).fetchval("SELECT account FROM login_failure WHERE address = $1", address)
    assert len(kept) == 32
    assert kept != domain.throttle_key(member.email, address, b"").account_digest


async def test_a_flood_of_logins_is_refused_and_leaves_no_failures(
    member: Member, desk_with: Desks, address: str
) -> None:
    desk = await desk_with(bcrypt_cost=10, bcrypt_threads=1, bcrypt_patience=0.1)
    flood = (login(desk, f"{new_id().hex}@example.com", "wrong horse", address) for _ in range(40))
    outcomes = [type(outcome) for outcome in await asyncio.gather(*flood, return_exceptions=True)]
    assert set(outcomes) == {InvalidCredentials, Overloaded}
    assert outcomes.count(Overloaded) > 20
    await login(desk, member.email, PASSWORD, address)


async def login(desk: UserDeps, email: str, password: str, address: str) -> SessionTokens:
    body = user.Login.model_validate_json(f'{{"email": "{email}", "password": "{password}"}}')
    answer = await sessions.login(desk, Request(body, client_ip=address))
    assert isinstance(answer.content, SessionTokens)
    return answer.content
