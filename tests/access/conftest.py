"""The whole shop, with people of these tests' own, who come from an address of their own."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import asyncpg
import pytest

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import Keys, World, new_boss, new_keys
from tests.support.http import Customer, Http, register
from tests.support.rpc import Edge

HERE = "127.0.0.71"
"""Failures are counted by address: what these tests do wrong is nobody else's."""


@pytest.fixture(scope="session")
async def street(stack: Stack, connections: AsyncExitStack) -> Http:
    connector = aiohttp.TCPConnector(local_addr=(HERE, 0), limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return Http(await connections.enter_async_context(session), stack.http_url)


@pytest.fixture(scope="session")
async def boss(street: Http, operator: Edge) -> Customer:
    return await new_boss(operator, street)


@pytest.fixture(scope="session")
async def keys(boss: Customer) -> Keys:
    return await new_keys(boss.http)


@pytest.fixture
async def world(
    street: Http,
    boss: Customer,
    stack: Stack,
    new_product: Callable[..., Awaitable[Product]],
    keys: Keys,
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> World:
    """A new owner and another customer each time; the administrator stays."""
    owner, another = await register(street), await register(street)
    return World(street, owner, another, boss, stack.layout.mail, new_product, keys, await database("user"))
