"""A shop whose processes are ordered to die, and clients that ask again until they are told.

A client that gets no answer sends the same again, under the same key; whatever it is told in the end is checked when
the shop has come to rest.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiohttp
import asyncpg
from nats.aio.client import Client
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from contracts.failure import TimedOut, Unavailable
from infra.foundation.ids import new_id
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.supervised_process import Process
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse

RESPONSE_TIMEOUT_SECONDS = 2.5
"""Seconds a client waits for an answer before it asks again."""
RETRY_SECONDS = 40.0
EVENTUALLY_SECONDS = 30.0
PRICE = {"amount": 1999, "currency": "USD"}


class UnknownOutcome(Exception):  # noqa: N818 - not an error: ask again
    """Nobody has told whether it was done."""


class CrashOrder:
    """Orders a process to die at a point; at the end of the block it has died of it, and is on its way back."""

    def __init__(self, process: Process, alone: asyncio.Lock, order: Path) -> None:
        self._process = process
        self._alone = alone
        self._order = order
        self._restarts = 0

    async def __aenter__(self) -> Self:
        """One order a process at a time, and not before it is there."""
        await self._alone.acquire()
        await self._process.until_ready()
        self._restarts = self._process.restarts
        self._order.touch()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self.wait_until_triggered()
                await eventually(lambda: self._process.restarts > self._restarts, timeout_seconds=EVENTUALLY_SECONDS)
        finally:
            self._order.unlink(missing_ok=True)
            self._alone.release()

    @property
    def is_triggered(self) -> bool:
        return not self._order.exists()

    async def wait_until_triggered(self) -> None:
        """Returns once the process has taken its order; it never does where nobody comes by."""
        await eventually(lambda: self.is_triggered, timeout_seconds=EVENTUALLY_SECONDS)


@dataclass
class CrashTestShop:
    """The shop, who buys in it, and what it has acknowledged."""

    stack: Stack
    http: HttpClient
    admin: HttpClient
    nats: Client
    failpoint_folder: Path
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    skus: dict[str, int] = field(default_factory=dict)
    """Units put on sale."""
    unreadable_ids: set[str] = field(default_factory=set)
    """Events that nobody can read, and the payments that nobody knows of which they speak: an audit finds them."""
    final_checks: list[Callable[[], Awaitable[bool]]] = field(default_factory=list)
    """What must be true once the shop has come to rest; nobody waits for it before."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def crash_at(self, process: str, point: str) -> CrashOrder:
        """Each process has its own folder, so that an order reaches the one that it is meant for."""
        return CrashOrder(self.stack.processes[process], self._locks[process], self.failpoint_folder / process / point)

    def without_crashes(self, process: str) -> asyncio.Lock:
        """Nobody orders the process to crash meanwhile."""
        return self._locks[process]

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """The service stands still inside."""
        self.stack.pause(service)
        try:
            yield
        finally:
            self.stack.resume(service)

    @asynccontextmanager
    async def stopped(self, service: str) -> AsyncIterator[None]:
        """The service is away inside, and comes back, whatever becomes of who sent it away."""
        try:
            await self.stack.stop(service)
            yield
        finally:
            await asyncio.shield(self._bring_back(service))

    async def _bring_back(self, service: str) -> None:
        async for attempt in AsyncRetrying(retry=retry_if_exception_type(StackError), wait=wait_fixed(0.5)):
            with attempt:
                await self.stack.start(service)

    async def order_outbox_is_empty(self) -> bool:
        """Whether everything has left the outbox of orders."""
        return await self.query_value_is_true("order", "SELECT count(*) = 0 FROM outbox")

    async def send(self, who: HttpClient, method: str, path: str, json: Any = None, **how: Any) -> HttpResponse:
        """The answer of the shop to this one request, however often it has to be sent."""
        if method == "POST":
            how.setdefault("key", new_id().hex)
        async for attempt in self.retrying():
            with attempt:
                return await _asked(who, method, path, json, **how)
        raise UnknownOutcome

    def retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type((UnknownOutcome, Unavailable, TimedOut)),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(RETRY_SECONDS),
            reraise=True,
        )

    async def register(self) -> tuple[HttpClient, dict[str, Any]]:
        body = {"email": f"{new_id().hex}@example.com", "password": "correct horse"}
        answered = await self.send(self.http, "POST", "/auth/register", {**body, "first_name": "A", "last_name": "L"})
        assert answered.status == 201, answered.body
        return self.http.with_token(answered.json["access_token"]), {**answered.json, **body}

    async def create_product(self, *, stock: int = 1000, price: Any = None) -> dict[str, Any]:
        sku = f"C-{new_id().hex}"
        body = {"name": "Brass lamp", "sku": sku, "price": price or PRICE, "stock": stock}
        answered = await self.send(self.admin, "POST", "/products", body)
        assert answered.status == 201, answered.body
        self.skus[sku] = stock
        return {**answered.json, "sku": sku}

    async def place_order(self, who: HttpClient, *, method: str | None = "sim_ok", key: str = "", **source: Any) -> str:
        """The order's id."""
        body = {**source, "shipping_address": ADDRESS, "payment_method": method}
        answered = await self.send(who, "POST", "/orders", body, key=key or new_id().hex)
        assert answered.status == 201, answered.body
        self.orders[answered.json["id"]] = answered.json
        return str(answered.json["id"])

    async def wait_for_status(self, who: HttpClient, order_id: str, status: str) -> None:
        await eventually(partial(self._is, who, order_id, status), timeout_seconds=EVENTUALLY_SECONDS)

    def expect_final_status(self, who: HttpClient, order_id: str, status: str) -> None:
        """So the order must be at the end."""
        self.final_checks.append(partial(self._is, who, order_id, status))

    async def _is(self, who: HttpClient, order_id: str, status: str) -> bool:
        return bool((await self.send(who, "GET", f"/orders/{order_id}")).json["status"] == status)

    async def wait_for_payment(self, who: HttpClient, order_id: str, status: str) -> dict[str, Any]:
        async def found() -> Any:
            items = (await self.send(who, "GET", f"/payments?order_id={order_id}")).json["items"]
            return next((item for item in items if item["status"] == status), None)

        payment: dict[str, Any] = await eventually(found, timeout_seconds=EVENTUALLY_SECONDS)
        return payment

    async def query_value_is_true(self, service: str, question: str, *values: Any) -> bool:
        """What a store says to a question."""
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            return bool(await connection.fetchval(question, *values))
        finally:
            await connection.close()

    async def execute(self, service: str, statement: str, *values: Any) -> None:
        """Straight in a store: for what would otherwise be waited for."""
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()


async def _asked(who: HttpClient, method: str, path: str, json: Any, **how: Any) -> HttpResponse:
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
            answered = await who(method, path, json, **how)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnknownOutcome from error
    if answered.status >= 500 or answered.status == 429:
        raise UnknownOutcome(answered.body)
    if answered.status == 409 and answered.code == "idempotency_in_progress":
        raise UnknownOutcome(answered.body)
    return answered


Scenario = Callable[[CrashTestShop, CrashOrder], Awaitable[None]]
