"""Crashes a process at a failpoint during a request, with clients that repeat the request until they have an answer.

A client without a response sends the same request again, under the same idempotency key. The final response
is checked when the shop is quiet.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
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
from infra.ops.devstack.supervised_process import SupervisedProcess
from tests.support.eventually import eventually
from tests.support.http import ADDRESS, HttpClient, HttpResponse

RESPONSE_TIMEOUT_SECONDS = 2.5
"""How long a client waits for a response before it repeats the request."""
RETRY_SECONDS = 40.0
EVENTUALLY_SECONDS = 60.0
MAX_RESTART_DELAY_SECONDS = 0.1
"""Instead of 5: processes that are killed on purpose right after each start are in no crash loop. With longer delays an
order service that died at two failpoints in a row was down for most of the half minute in which a payment, which asks
it for the payment method, had to be made."""
PRICE = {"amount": 1999, "currency": "USD"}


class UnknownOutcome(Exception):  # noqa: N818 - not an error: ask again
    """The response does not tell whether the request had its effect."""


class CrashOrder:
    """Enables a failpoint in one process; at the end of the block the process has died there and is restarting."""

    def __init__(self, process: SupervisedProcess, alone: asyncio.Lock, order: Path) -> None:
        self._process = process
        self._alone = alone
        self._order = order
        self._restarts = 0

    async def __aenter__(self) -> Self:
        """Waits for the process to be ready, and allows one failpoint per process at a time."""
        await self._alone.acquire()
        await self._process.wait_until_ready()
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
        """Returns once the process has died at the failpoint; fails if no request reaches it."""
        await eventually(lambda: self.is_triggered, timeout_seconds=EVENTUALLY_SECONDS)


@dataclass
class CrashTestShop:
    """The shop, its clients, and what it has acknowledged."""

    stack: Stack
    http: HttpClient
    admin: HttpClient
    nats: Client
    failpoint_folder: Path
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    skus: dict[str, int] = field(default_factory=dict)
    """Units created, by SKU."""
    unreadable_ids: set[str] = field(default_factory=set)
    """Ids of events that no service can parse, and of the unknown payments in them: a verification reports them."""
    final_checks: list[Callable[[], Awaitable[bool]]] = field(default_factory=list)
    """Checks that must succeed once the shop is quiet."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def crash_at(self, process: str, point: str) -> CrashOrder:
        """A crash of one process; each process has its own folder of failpoints."""
        return CrashOrder(self.stack.processes[process], self._locks[process], self.failpoint_folder / process / point)

    def without_crashes(self, process: str) -> asyncio.Lock:
        """A lock under which no failpoint of the process is enabled."""
        return self._locks[process]

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """Pauses the service in the block."""
        self.stack.pause(service)
        try:
            yield
        finally:
            self.stack.resume(service)

    @asynccontextmanager
    async def stopped(self, service: str) -> AsyncIterator[None]:
        """Stops the service in the block and starts it again, even if the block is cancelled."""
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
        """Whether every event has left the outbox of order."""
        return await self.query_value_is_true("order", "SELECT count(*) = 0 FROM outbox")

    async def send(self, customer: HttpClient, method: str, path: str, json: Any = None, **how: Any) -> HttpResponse:
        """Sends a request as often as it takes, and returns the response."""
        if method == "POST":
            how.setdefault("key", new_id().hex)
        async for attempt in self.retrying():
            with attempt:
                return await _send_once(customer, method, path, json, **how)
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
        response = await self.send(self.http, "POST", "/auth/register", {**body, "first_name": "A", "last_name": "L"})
        assert response.status == 201, response.body
        return self.http.with_token(response.json["access_token"]), {**response.json, **body}

    async def create_product(self, *, stock: int = 1000, price: Any = None) -> dict[str, Any]:
        sku = f"C-{new_id().hex}"
        body = {"name": "Brass lamp", "sku": sku, "price": price or PRICE, "stock": stock}
        response = await self.send(self.admin, "POST", "/products", body)
        assert response.status == 201, response.body
        self.skus[sku] = stock
        return {**response.json, "sku": sku}

    async def place_order(
        self, customer: HttpClient, *, method: str | None = "sim_ok", key: str = "", **source: Any
    ) -> str:
        """Places an order; returns its id."""
        body = {**source, "shipping_address": ADDRESS, "payment_method": method}
        response = await self.send(customer, "POST", "/orders", body, key=key or new_id().hex)
        assert response.status == 201, response.body
        self.orders[response.json["id"]] = response.json
        return str(response.json["id"])

    async def wait_for_status(self, customer: HttpClient, order_id: str, status: str) -> None:
        await eventually(partial(self._is, customer, order_id, status), timeout_seconds=EVENTUALLY_SECONDS)

    def expect_final_status(self, customer: HttpClient, order_id: str, status: str) -> None:
        """Requires that the order has this status in the end."""
        self.final_checks.append(partial(self._is, customer, order_id, status))

    async def _is(self, customer: HttpClient, order_id: str, status: str) -> bool:
        return bool((await self.send(customer, "GET", f"/orders/{order_id}")).json["status"] == status)

    async def wait_for_payment(self, customer: HttpClient, order_id: str, status: str) -> dict[str, Any]:
        async def found() -> Any:
            items = (await self.send(customer, "GET", f"/payments?order_id={order_id}")).json["items"]
            return next((item for item in items if item["status"] == status), None)

        payment: dict[str, Any] = await eventually(found, timeout_seconds=EVENTUALLY_SECONDS)
        return payment

    async def query_value_is_true(self, service: str, question: str, *values: Any) -> bool:
        """Whether a query of a service's database returns a true value."""
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            return bool(await connection.fetchval(question, *values))
        finally:
            await connection.close()

    async def execute(self, service: str, statement: str, *values: Any) -> None:
        """Changes a service's database directly, to skip a long wait."""
        connection = await asyncpg.connect(self.stack.dsn(service))
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()


async def _send_once(customer: HttpClient, method: str, path: str, json: Any, **how: Any) -> HttpResponse:
    try:
        async with asyncio.timeout(RESPONSE_TIMEOUT_SECONDS):
            response = await customer(method, path, json, **how)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnknownOutcome from error
    if response.status >= 500 or response.status == 429:
        raise UnknownOutcome(response.body)
    if response.status == 409 and response.code == "idempotency_in_progress":
        raise UnknownOutcome(response.body)
    return response


def limit_restart_delays(stack: Stack) -> None:
    """Makes every process restart at once, however soon it dies again."""
    for process in stack.processes.values():
        process.program = replace(process.program, max_restart_delay_seconds=MAX_RESTART_DELAY_SECONDS)


Scenario = Callable[[CrashTestShop, CrashOrder], Awaitable[None]]
