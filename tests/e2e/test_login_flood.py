"""A flood of logins, with passwords hashed as in production: logins wait, and everybody else is served as before."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import EVERYTHING, Options
from tests.conftest import FREE_PORTS
from tests.e2e.login_flood import SignedInUsers, attack
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.uninstrumented import uninstrumented_stack

pytestmark = pytest.mark.long

ATTACKERS = 100
SECONDS = 8.0
PROMISED = 0.05
NO_THROTTLE = {
    "SOUK_LOG_LEVEL": "WARNING",
    "SOUK_LOGIN_FAILURES": "1000000",
    "SOUK_LOGIN_FAILURES_OF_ADDRESS": "1000000",
}
"""As if they came from everywhere: nothing but the bounds on hashing holds them up."""


@pytest.fixture(scope="module")
async def shop(data_folder: Path) -> AsyncIterator[Stack]:
    options = Options(
        _env_file=None,
        data=data_folder / "flood",
        parts=EVERYTHING - {"mongo", "mail"},
        services=("user", "catalog"),
        nginx_limits=False,
        seed=False,
        process_env=NO_THROTTLE,
        **FREE_PORTS,
    )
    async with uninstrumented_stack(options) as stack:
        yield stack


async def test_a_hundred_wrong_logins_at_once_slow_logins_alone(shop: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        customer: RegisteredCustomer = await register_customer(HttpClient(session, shop.http_url))
    others = SignedInUsers(shop.http_url, customer.session["access_token"])
    await others.send_requests(1)
    await others.send_requests(SECONDS)
    before, found = str(others), Counter[int]()
    emails = [customer.email if number % 2 else f"{number}@example.com" for number in range(ATTACKERS)]
    attacks = [asyncio.create_task(attack(shop.http_url, email, found)) for email in emails]
    try:
        await others.send_requests(SECONDS)
    finally:
        for one in attacks:
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one
        for connection in others.free:
            connection.close()
    load = os.getloadavg()[0]
    print(f"\nothers before: {before}\nduring: {others}\nlogins: {dict(found)}; load {load:.1f}")  # noqa: T201
    assert set(others.statuses) == {200}, others.statuses
    assert set(found) <= {401, 503}, found
    assert found[401] > SECONDS, "passwords were hashed all the time"
    assert others.percentile(0.99) < PROMISED, f"{others} (before: {before}; load {load:.1f})"
