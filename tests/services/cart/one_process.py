"""A process of the cart service inside the test process: its groups are seen, and its knowledge is its own."""

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import cart as contract
from contracts import headers
from contracts.cart import AddCartItem, Cart, RemoveCartItem, SetCartItem
from contracts.model import Empty
from infra.database.mongo import Document
from infra.foundation.ids import now
from infra.foundation.telemetry import Metrics
from infra.messaging.rpc_client import Reply, Request
from infra.messaging.rpc_server import RpcServer
from services.cart.app import HANDLERS
from services.cart.deps import CartDeps
from services.cart.domain.carts import CartRecord
from services.cart.handlers import items
from services.cart.store.grouped_writes import CartUpdate, GroupedWrites


class RecordedWrites(GroupedWrites):
    """Records which carts each command has written."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.groups: list[list[str]] = []

    async def _send(self, updates: Sequence[CartUpdate]) -> frozenset[int]:
        self.groups.append([update.before.id for update in updates])
        return await super()._send(updates)


class OneProcess:
    """A process of the cart service, whose groups are recorded."""

    def __init__(self, deps: CartDeps) -> None:
        self.deps = deps
        self.writes = RecordedWrites(deps.mongo.database)
        deps.group_writer._writes = self.writes
        self.server = RpcServer(deps, HANDLERS, deps.mongo, deps.mongo.is_transient, Metrics(), max_in_flight=100)

    @property
    def groups(self) -> list[list[str]]:
        return self.writes.groups

    async def new_cart(self, *skus: str, also_cached: Sequence[str] = ()) -> str:
        """A guest's cart with a unit of each SKU; the process knows it, and the quotes of all these SKUs."""
        reply: Reply[Cart] = await HANDLERS[contract.CREATE](self.deps, Request(Empty()))
        assert isinstance(reply.content, Cart)
        for sku in skus:
            await self.add(reply.content.id, sku)
        await self.deps.prices.cache_quotes({*skus, *also_cached})
        self.groups.clear()
        return reply.content.id

    async def add(self, cart_id: str, sku: str, quantity: int = 1, **how: Any) -> Cart:
        return await _content(items.add(self.deps, Request(AddCartItem(id=cart_id, sku=sku, quantity=quantity), **how)))

    async def add_once(self, cart_id: str, sku: str, key: str) -> Cart:
        """Adds a unit as a request with an idempotency key that has come over the broker."""
        body = AddCartItem(id=cart_id, sku=sku, quantity=1).model_dump_json().encode()
        how = {headers.IDEMPOTENCY_KEY: key}
        message = Msg(_client=Client(), subject=contract.ADD.subject, data=body, headers=how)
        return Cart.model_validate_json((await self.server.handle(message, None)).body)

    async def set(self, cart_id: str, sku: str, quantity: int) -> Cart:
        return await _content(items.set_item(self.deps, Request(SetCartItem(id=cart_id, sku=sku, quantity=quantity))))

    async def remove(self, cart_id: str, sku: str) -> Cart:
        return await _content(items.remove(self.deps, Request(RemoveCartItem(id=cart_id, sku=sku))))

    async def stored(self, cart_id: str) -> CartRecord:
        cart = await self.deps.carts.find(cart_id, now() - timedelta(days=400))
        assert cart is not None
        return cart

    async def units(self, cart_id: str) -> dict[str, int]:
        return {line.sku: line.quantity for line in (await self.stored(cart_id)).lines}

    async def change_elsewhere(self, cart_id: str, update: Document) -> None:
        """Changes the stored cart as another process does."""
        await self.deps.mongo.database.carts.update_one({"_id": cart_id}, update)


async def _content(reply: Awaitable[Reply[Cart]]) -> Cart:
    content = (await reply).content
    assert isinstance(content, Cart)
    return content
