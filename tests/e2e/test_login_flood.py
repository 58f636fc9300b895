"""A flood of logins, with passwords hashed as in production, delays logins and no other requests."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import ALL_PARTS, StackSettings
from tests.conftest import FREE_PORTS
from tests.e2e.login_flood import SignedInUsers, attack
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.without_coverage import uninstrumented_stack

pytestmark = pytest.mark.long

ATTACKERS = 100
SECONDS = 8.0
MAX_P99_SECONDS = 0.05
NO_THROTTLE = {
    "SOUK_LOG_LEVEL": "WARNING",
    "SOUK_LOGIN_FAILURES": "1000000",
    "SOUK_LOGIN_FAILURES_OF_ADDRESS": "1000000",
}
"""No throttle, as if each attacker had its own address: only the limit on concurrent hashing slows them down."""


@pytest.fixture(scope="module")
async def small_stack(data_folder: Path) -> AsyncIterator[Stack]:
    settings = StackSettings(
        _env_file=None,
        data=data_folder / "flood",
        parts=ALL_PARTS - {"mongo", "mail"},
        services=("user", "catalog"),
        nginx_limits=False,
        seed=False,
        process_env=NO_THROTTLE,
        **FREE_PORTS,
    )
    async with uninstrumented_stack(settings) as stack:
        yield stack


async def test_a_flood_of_wrong_logins_slows_only_logins(small_stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        customer: RegisteredCustomer = await register_customer(HttpClient(session, small_stack.http_url))
    users = SignedInUsers(small_stack.http_url, customer.session["access_token"])
    await users.send_requests(1)
    await users.send_requests(SECONDS)
    before, login_statuses = str(users), Counter[int]()
    emails = [customer.email if number % 2 else f"{number}@example.com" for number in range(ATTACKERS)]
    attacks = [asyncio.create_task(attack(small_stack.http_url, email, login_statuses)) for email in emails]
    try:
        await users.send_requests(SECONDS)
    finally:
        for task in attacks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for connection in users.free:
            connection.close()
    load = os.getloadavg()[0]
    print(f"\nbefore: {before}\nduring: {users}\nlogins: {dict(login_statuses)}; load {load:.1f}")  # noqa: T201
    assert set(users.statuses) == {200}, users.statuses
    assert set(login_statuses) <= {401, 503}, login_statuses
    assert login_statuses[401] > SECONDS, "at least one password was hashed each second"
    assert users.percentile(0.99) < MAX_P99_SECONDS, f"{users} (before: {before}; load {load:.1f})"
