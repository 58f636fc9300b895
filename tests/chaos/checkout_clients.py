"""Customers who buy and nothing else, signed in beforehand: what rolling restarts and overload are measured with."""

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
    """A stocked shop's customers, and what became of their requests."""

    http: LoadHttpClient
    skus: list[str] = field(default_factory=list)
    tokens: deque[str] = field(default_factory=deque)
    """Of those who do nothing just now."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Kind of request, with status and code: `order 201`."""
    response_seconds: list[float] = field(default_factory=list)
    """Seconds of each answer that is not a refusal for want of room."""
    refusal_seconds: list[float] = field(default_factory=list)
    placed: list[str] = field(default_factory=list)
    paid: set[str] = field(default_factory=set)

    def reset(self) -> None:
        for kept in (self.outcomes, self.response_seconds, self.refusal_seconds, self.placed, self.paid):
            kept.clear()

    async def check_out(self) -> bool:
        """Something into the cart, and the order placed. Whether it was; False too when nobody is free to buy."""
        if not self.tokens:
            self.outcomes["nobody free"] += 1
            return False
        token = self.tokens.popleft()
        try:
            return await self._buy(token)
        finally:
            self.tokens.append(token)

    async def _buy(self, token: str) -> bool:
        sku = self.skus[hash(token) % len(self.skus)]
        added = await self._ask("add", "/carts/mine/items", {"sku": sku, "quantity": 1}, token)
        if added is None or not added.is_success:
            return False
        order: dict[str, object] = {"cart_id": "mine", "shipping_address": ADDRESS, "payment_method": "sim_ok"}
        placed = await self._ask("order", "/orders", order, token)
        if placed is None or not placed.is_success:
            return False
        self.placed.append(placed.json["id"])
        return True

    async def _ask(self, kind: str, path: str, body: dict[str, object], token: str) -> LoadResponse | None:
        """None where there was no answer at all. Nothing is repeated: whatever a client would see counts."""
        began = time.perf_counter()
        try:
            answer = await self.http.send(
                "POST", path, orjson.dumps(body), token=token, key=uuid4().hex, timeout_seconds=15
            )
        except (OSError, TimeoutError) as error:
            self.outcomes[f"{kind} {type(error).__name__}"] += 1
            return None
        (self.refusal_seconds if answer.status == 503 else self.response_seconds).append(time.perf_counter() - began)
        self.outcomes[f"{kind} {answer.status}" + ("" if answer.is_success else f" {answer.code}")] += 1
        return answer

    async def on_paid(self, message: Msg) -> None:
        self.paid.add(message.subject.split(".")[2])


@asynccontextmanager
async def checkout_clients(stack: Stack, count: int) -> AsyncIterator[CheckoutClients]:
    """`count` customers before full shelves; what is paid is heard from the stream."""
    async with messaging.connect(stack.nats_url, "operator", stack.password("operator")) as client:
        found = CheckoutClients(LoadHttpClient(stack.http_url))
        await _furnish(found, client, count)
        await client.subscribe("event.order.*.paid", cb=found.on_paid)
        try:
            yield found
        finally:
            found.http.close()


async def _furnish(found: CheckoutClients, client: Client, count: int) -> None:
    ask, run = RpcCaller(client), uuid4().hex
    for number in range(SKUS):
        sku = f"BUY-{run}-{number}"
        body = {"name": f"Tile {number}", "sku": sku, "price": {"amount": 900, "currency": "USD"}, "stock": STOCK_UNITS}
        await ask(catalog.CREATE_PRODUCT, body, identity=admin_identity())
        found.skus.append(sku)

    async def register(number: int) -> str:
        said = {"email": f"buyer-{run}-{number}@example.com", "password": "correct horse"}
        session = await ask(user.REGISTER, {**said, "first_name": "Eager", "last_name": "Buyer"}, client=f"{number}")
        return str(session.access_token)

    for start in range(0, count, REGISTER_CONCURRENCY):
        found.tokens += await asyncio.gather(
            *(register(number) for number in range(start, start + REGISTER_CONCURRENCY))
        )
