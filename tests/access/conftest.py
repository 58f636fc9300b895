"""Fixtures for the access tests: the whole stack, with users of these tests who come from an address of their own."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import asyncpg
import pytest

from contracts.catalog import Product
from infra.ops.devstack.stack import Stack
from tests.access.fixtures import (
    AccessFixtures,
    ApiKeys,
    GuestOrder,
    create_admin,
    create_api_keys,
    place_guest_order,
)
from tests.support.http import HttpClient, RegisteredCustomer, register_customer
from tests.support.rpc import RpcCaller

HERE = "127.0.0.71"
"""Failures are counted per address: these tests must not use up the allowance of others."""


@pytest.fixture(scope="session")
async def access_http(stack: Stack, connections: AsyncExitStack) -> HttpClient:
    connector = aiohttp.TCPConnector(local_addr=(HERE, 0), limit=0)
    session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
    return HttpClient(await connections.enter_async_context(session), stack.http_url)


@pytest.fixture(scope="session")
async def access_admin(access_http: HttpClient, operator: RpcCaller) -> RegisteredCustomer:
    return await create_admin(operator, access_http)


@pytest.fixture(scope="session")
async def keys(access_admin: RegisteredCustomer) -> ApiKeys:
    return await create_api_keys(access_admin.http)


@pytest.fixture(scope="session")
async def other_guest(access_http: HttpClient, new_product: Callable[..., Awaitable[Product]]) -> GuestOrder:
    """An order that no test uses, whose token opens nothing else."""
    return await place_guest_order(access_http, (await new_product()).variants[0].sku)


@pytest.fixture
async def fixtures(
    access_http: HttpClient,
    access_admin: RegisteredCustomer,
    stack: Stack,
    new_product: Callable[..., Awaitable[Product]],
    keys: ApiKeys,
    other_guest: GuestOrder,
    database: Callable[[str], Awaitable[asyncpg.Connection]],
) -> AccessFixtures:
    """A new owner and another new customer for each test; the administrator is shared."""
    owner, another = await register_customer(access_http), await register_customer(access_http)
    return AccessFixtures(
        access_http,
        owner,
        another,
        access_admin,
        stack.data_dir.mail_dir,
        new_product,
        keys,
        other_guest,
        await database("user"),
    )
