"""Throttling of logins after failures."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from contracts import user
from contracts.failure import Overloaded
from contracts.user import InvalidCredentials, SessionTokens, TooManyAttempts
from infra.foundation.ids import new_id
from infra.messaging.rpc_client import Request
from services.user.deps import UserDeps
from services.user.domain.attempt_limits import throttle_key
from services.user.handlers import sessions
from services.user.workers.cleanup import delete_expired
from tests.services.user.conftest import PASSWORD, Member
from tests.support.rpc import RpcCaller

DepsFactory = Callable[..., Awaitable[UserDeps]]


async def login_result(rpc: RpcCaller, email: str, client_ip: str, password: str = "wrong horse") -> str:  # noqa: S107
    """Signs in and returns the error code, or `ok`."""
    try:
        await rpc(user.LOGIN, {"email": email, "password": password}, client=client_ip)
    except (InvalidCredentials, TooManyAttempts) as fail:
        return fail.code
    return "ok"


async def login_results(times: int, rpc: RpcCaller, email: str, client_ip: str) -> list[str]:
    return [await login_result(rpc, email, client_ip) for _ in range(times)]


@pytest.mark.parametrize("exists", [True, False])
async def test_logins_are_refused_after_five_failures(
    rpc: RpcCaller, member: Member, client_ip: str, *, exists: bool
) -> None:
    email = member.email if exists else f"{new_id().hex}@example.com"
    assert await login_results(7, rpc, email, client_ip) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 2
    with pytest.raises(TooManyAttempts) as error:
        await rpc(user.LOGIN, {"email": email.upper(), "password": PASSWORD}, client=client_ip)
    assert 890 <= (error.value.retry_after or 0) <= 900


async def test_stranger_cannot_lock_the_owner_out(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    assert "too_many_attempts" in await login_results(6, rpc, member.email, client_ip)
    assert await login_result(rpc, member.email, "203.0.113.77", PASSWORD) == "ok"
    assert await login_result(rpc, f"{new_id().hex}@example.com", client_ip) == "invalid_credentials"


async def test_signing_in_clears_the_failures(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    for _ in range(3):
        assert await login_results(4, rpc, member.email, client_ip) == ["invalid_credentials"] * 4
        assert await login_result(rpc, member.email, client_ip, PASSWORD) == "ok"


async def test_concurrent_guesses_count_like_consecutive_ones(rpc: RpcCaller, member: Member, client_ip: str) -> None:
    results = await asyncio.gather(*(login_result(rpc, member.email, client_ip) for _ in range(30)))
    assert sorted(results) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 25
    assert await login_result(rpc, member.email, client_ip, PASSWORD) == "too_many_attempts"


async def test_concurrent_logins_with_the_right_password_all_succeed(
    rpc: RpcCaller, member: Member, client_ip: str
) -> None:
    results = await asyncio.gather(*(login_result(rpc, member.email, client_ip, PASSWORD) for _ in range(20)))
    assert results == ["ok"] * 20


async def test_address_is_refused_after_fifty_failures_over_all_accounts(
    rpc: RpcCaller, member: Member, client_ip: str
) -> None:
    results = [await login_result(rpc, f"{new_id().hex}@example.com", client_ip) for _ in range(51)]
    assert results == ["invalid_credentials"] * 50 + ["too_many_attempts"]
    assert await login_result(rpc, member.email, client_ip, PASSWORD) == "too_many_attempts"
    assert await login_result(rpc, member.email, "203.0.113.78", PASSWORD) == "ok"


async def test_ipv6_network_counts_as_one_address(rpc: RpcCaller, member: Member) -> None:
    network = f"2001:db8:{new_id().int % 0xFFFF:x}:1"
    results = [await login_result(rpc, member.email, f"{network}::{host:x}") for host in range(1, 7)]
    assert results == ["invalid_credentials"] * 5 + ["too_many_attempts"]


async def test_failures_expire_and_are_deleted(
    member: Member, deps_with: DepsFactory, database: Callable[[str], Awaitable[asyncpg.Connection]], client_ip: str
) -> None:
    deps = await deps_with(login_failures=1)
    with pytest.raises(InvalidCredentials):
        await sign_in(deps, member.email, "wrong horse", client_ip)
    with pytest.raises(TooManyAttempts):
        await sign_in(deps, member.email, PASSWORD, client_ip)
    connection = await database("user")
    await connection.execute(
        "UPDATE login_failure SET failed_at = failed_at - interval '900 s' WHERE address = $1", client_ip
    )
    await sign_in(deps, member.email, PASSWORD, client_ip)
    await delete_expired(deps)
    assert not await connection.fetchval("SELECT count(*) FROM login_failure WHERE address = $1", client_ip)


async def test_stored_failures_do_not_reveal_the_email(
    rpc: RpcCaller, member: Member, database: Callable[[str], Awaitable[asyncpg.Connection]], client_ip: str
) -> None:
    await login_result(rpc, member.email, client_ip)
    stored = await (await database("user")).fetchval("SELECT account FROM login_failure WHERE address = $1", client_ip)
    assert len(stored) == 32
    assert stored != throttle_key(member.email, client_ip, b"").account_digest


async def test_overload_is_refused_without_counting_failures(
    member: Member, deps_with: DepsFactory, client_ip: str
) -> None:
    deps = await deps_with(bcrypt_cost=10, bcrypt_threads=1, bcrypt_patience=0.1)
    flood = (sign_in(deps, f"{new_id().hex}@example.com", "wrong horse", client_ip) for _ in range(40))
    results = [type(result) for result in await asyncio.gather(*flood, return_exceptions=True)]
    assert set(results) == {InvalidCredentials, Overloaded}
    assert results.count(Overloaded) > 20
    await sign_in(deps, member.email, PASSWORD, client_ip)


async def sign_in(deps: UserDeps, email: str, password: str, client_ip: str) -> SessionTokens:
    body = user.Login.model_validate_json(f'{{"email": "{email}", "password": "{password}"}}')
    answer = await sessions.login(deps, Request(body, client_ip=client_ip))
    assert isinstance(answer.content, SessionTokens)
    return answer.content
