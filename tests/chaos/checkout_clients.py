"""Signed-in customers who only check out: the load for overload and rolling restarts."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import catalog, user
from infra.messaging import connection as messaging
from infra.ops.devstack.stack import Stack
from tests.chaos.http_client import LoadHttpClient, LoadResponse
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, admin_identity

SKUS = 40
STOCK_UNITS = 10_000_000
REGISTER_CONCURRENCY = 8


@dataclass
class CheckoutClients:
    """The customers of a stocked shop, and the outcomes of their requests."""

    http: LoadHttpClient
    skus: list[str] = field(default_factory=list)
    tokens: deque[str] = field(default_factory=deque)
    """The tokens of idle customers."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Counts by kind of request, status and code: `order 201`."""
    response_seconds: list[float] = field(default_factory=list)
    """Seconds of each response other than a 503."""
    refusal_seconds: list[float] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    paid: set[str] = field(default_factory=set)

    def reset(self) -> None:
        for stored in (self.outcomes, self.response_seconds, self.refusal_seconds, self.placed, self.paid):
            stored.clear()

    async def check_out(self) -> bool:
        """Adds to a cart and places the order. False if the order was not placed or no customer is idle."""
        if not self.tokens:
            self.outcomes["no idle customer"] += 1
            return False
        token = self.tokens.popleft()
        try:
            return await self._buy(token)
        finally:
            self.tokens.append(token)

    async def _buy(self, token: str) -> bool:
        sku = self.skus[hash(token) % len(self.skus)]
        added = await self._send("add", "/carts/mine/items", {"sku": sku, "quantity": 1}, token)
        if added is None or not added.is_success:
            return False
        order: dict[str, object] = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
        placed = await self._send("order", "/orders", order, token)
        if placed is None or not placed.is_success:
            return False
        self.placed.append(placed.json["id"])
        return True

    async def _send(self, kind: str, path: str, body: dict[str, object], token: str) -> LoadResponse | None:
        """None without a response. Nothing is repeated, because every failure that a client sees counts."""
        started_at = time.perf_counter()
        try:
            response = await self.http.send(
                "POST", path, orjson.dumps(body), token=token, key=uuid4().hex, timeout_seconds=15
            )
        except (OSError, TimeoutError) as error:
            self.outcomes[f"{kind} {type(error).__name__}"] += 1
            return None
        (self.refusal_seconds if response.status == 503 else self.response_seconds).append(
            time.perf_counter() - started_at
        )
        self.outcomes[f"{kind} {response.status}" + ("" if response.is_success else f" {response.code}")] += 1
        return response

    async def on_paid(self, message: Msg) -> None:
        self.paid.add(message.subject.split(".")[2])


@asynccontextmanager
async def checkout_clients(stack: Stack, count: int) -> AsyncIterator[CheckoutClients]:
    """`count` customers in a stocked shop; paid orders are read from the event stream."""
    async with messaging.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client:
        clients = CheckoutClients(LoadHttpClient(stack.http_url))
        await _create_customers(clients, client, count)
        await client.subscribe("event.order.*.paid", cb=clients.on_paid)
        try:
            yield clients
        finally:
            clients.http.close()


async def _create_customers(clients: CheckoutClients, client: Client, count: int) -> None:
    rpc, run = RpcCaller(client), uuid4().hex
    for number in range(SKUS):
        sku = f"BUY-{run}-{number}"
        body = {"name": f"Tile {number}", "sku": sku, "price": {"amount": 900, "currency": "USD"}, "stock": STOCK_UNITS}
        await rpc(catalog.CREATE_PRODUCT, body, identity=admin_identity())
        clients.skus.append(sku)

    async def register(number: int) -> str:
        credentials = {"email": f"buyer-{run}-{number}@example.com", "password": "correct horse"}
        session = await rpc(
            user.REGISTER, {**credentials, "first_name": "Eager", "last_name": "Buyer"}, client=f"{number}"
        )
        return str(session.access_token)

    for start in range(0, count, REGISTER_CONCURRENCY):
        clients.tokens += await asyncio.gather(
            *(register(number) for number in range(start, start + REGISTER_CONCURRENCY))
        )
