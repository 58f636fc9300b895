"""A cart in somebody's hands, and the cart's store without its service."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contracts import cart as contract
from contracts.cart import Cart
from contracts.identity import Identity
from infra.database.mongo import Mongo, connect
from infra.messaging.rpc import RpcClient
from infra.ops.devstack.stack import Stack
from services.cart.deps import MINE, CartDeps, CartSettings
from services.cart.price_client import PriceClient
from services.cart.store.carts import INDEXES, CartStore
from services.cart.write_cache import WriteCache
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class CartClient:
    """One cart, by the id and as the person that somebody uses it."""

    ask: RpcCaller
    id: str
    identity: Identity | None = None

    async def add(self, sku: str, quantity: Any = 1, **how: Any) -> Cart:
        return await self._change(contract.ADD, {"sku": sku, "quantity": quantity}, **how)

    async def set(self, sku: str, quantity: Any, **how: Any) -> Cart:
        return await self._change(contract.SET, {"sku": sku, "quantity": quantity}, **how)

    async def remove(self, sku: str, **how: Any) -> Cart:
        return await self._change(contract.REMOVE, {"sku": sku}, **how)

    async def clear(self, **how: Any) -> Cart:
        return await self._change(contract.CLEAR, {}, **how)

    async def get(self) -> Cart:
        return await self._change(contract.GET, {})

    async def units(self) -> dict[str, int]:
        return {item.sku: item.quantity for item in (await self.get()).items}

    async def _change(self, operation: Any, body: dict[str, Any], **how: Any) -> Cart:
        found: Cart = await self.ask(operation, {"id": self.id, **body}, identity=self.identity, **how)
        return found


@pytest.fixture
async def guest(ask: RpcCaller) -> CartClient:
    """A guest's cart, new."""
    return CartClient(ask, (await ask(contract.CREATE)).id)


@pytest.fixture
def mine(ask: RpcCaller, new_customer: Callable[[], Identity]) -> CartClient:
    """A new customer's own cart."""
    return CartClient(ask, MINE, new_customer())


@pytest.fixture(scope="session")
def cart_settings(stack: Stack) -> CartSettings:
    return CartSettings(
        _env_file=None,
        nats_url=stack.nats_url,
        nats_password=stack.password("cart"),
        mongo_url=stack.cart_url(),
        mongo_password=stack.mongo_password(),
    )


@pytest.fixture(scope="session")
async def store(cart_settings: CartSettings) -> AsyncIterator[Mongo]:
    async with connect(cart_settings, "test", indexes=INDEXES) as mongo:
        yield mongo


@pytest.fixture(scope="session")
async def shop(store: Mongo, cart_settings: CartSettings, as_service: Callable[[str], Any]) -> CartDeps:
    """What the handlers get, here."""
    asker: RpcClient = (await as_service("cart")).asker
    return CartDeps(store, CartStore(store.database), PriceClient(asker), WriteCache(), cart_settings)
