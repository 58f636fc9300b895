"""The whole shop, with people of these tests' own, who come from an address of their own."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import asyncpg
import pytest

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import AccessFixtures, ApiKeys, create_admin, create_api_keys
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

HERE = "127.0.0.71"
"""Failures are counted by address: what these tests do wrong is nobody else's."""


@pytest.fixture(scope="session")
async def street(stack: Stack, connections: AsyncExitStack) -> HttpClient:
    connector = aiohttp.TCPConnector(local_addr=(HERE, 0), limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return HttpClient(await connections.enter_async_context(session), stack.http_url)


@pytest.fixture(scope="session")
async def boss(street: HttpClient, operator: RpcCaller) -> RegisteredCustomer:
    return await create_admin(operator, street)


@pytest.fixture(scope="session")
async def keys(boss: RegisteredCustomer) -> ApiKeys:
    return await create_api_keys(boss.http)


@pytest.fixture
async def world(
    street: HttpClient,
    boss: RegisteredCustomer,
    stack: Stack,
    new_product: Callable[..., Awaitable[Product]],
    keys: ApiKeys,
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> AccessFixtures:
    """A new owner and another customer each time; the administrator stays."""
    owner, another = await register_customer(street), await register_customer(street)
    return AccessFixtures(street, owner, another, boss, stack.layout.mail, new_product, keys, await database("user"))
