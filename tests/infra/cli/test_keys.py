"""`souk keys rotate` against the running shop."""

from collections.abc import Awaitable, Callable

import asyncpg

from infra.stack.stack import Stack
from tests.infra.cli.test_importing import souk
from tests.support.http import Customer, register

Databases = Callable[[str], Awaitable[asyncpg.Connection]]


async def test_another_key_signs_and_nobody_is_signed_out(
    stack: Stack, customer: Customer, database: Databases
) -> None:
    connection = await database("user")
    before = [row["kid"] for row in await connection.fetch("SELECT kid FROM signing_key WHERE retired_at IS NULL")]
    try:
        code, told = await souk("keys", "rotate", "--data", str(stack.options.data))
        assert code == 0, told
        assert "signs in 90 s" in told
        assert all(kid in told for kid in before)
        assert (await customer.http.get("/users/profile")).status == 200
        newcomer = await register(customer.http)
        assert (await newcomer.http.get("/users/profile")).status == 200
    finally:
        await connection.execute("DELETE FROM signing_key WHERE kid <> ALL($1)", before)
        await connection.execute("UPDATE signing_key SET retired_at = NULL")
