"""A client of one cart, and the cart's dependencies without its service."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from contracts import cart as contract
from contracts.cart import Cart
from contracts.identity import Identity
from infra.database.mongo import Mongo, connect
from infra.ops.devstack.stack import Stack
from services.cart.deps import CartDeps, build_deps
from services.cart.handlers.cart_access import MY_CART_ID
from services.cart.settings import CartSettings
from services.cart.store.carts import INDEXES
from tests.support.rpc import RpcCaller


@dataclass(frozen=True)
class CartClient:
    """Sends requests for one cart, under its id and as one caller."""

    rpc: RpcCaller
    id: str
    identity: Identity | None = None

    async def add(self, sku: str, quantity: Any = 1, **options: Any) -> Cart:
        return await self._change(contract.ADD, {"sku": sku, "quantity": quantity}, **options)

    async def set(self, sku: str, quantity: Any, **options: Any) -> Cart:
        return await self._change(contract.SET, {"sku": sku, "quantity": quantity}, **options)

    async def remove(self, sku: str, **options: Any) -> Cart:
        return await self._change(contract.REMOVE, {"sku": sku}, **options)

    async def clear(self, **options: Any) -> Cart:
        return await self._change(contract.CLEAR, {}, **options)

    async def get(self) -> Cart:
        return await self._change(contract.GET, {})

    async def units(self) -> dict[str, int]:
        return {item.sku: item.quantity for item in (await self.get()).items}

    async def _change(self, operation: Any, body: dict[str, Any], **options: Any) -> Cart:
        cart: Cart = await self.rpc(operation, {"id": self.id, **body}, identity=self.identity, **options)
        return cart


@pytest.fixture
async def guest_cart(rpc: RpcCaller) -> CartClient:
    """A new cart of a guest."""
    return CartClient(rpc, (await rpc(contract.CREATE)).id)


@pytest.fixture
def my_cart(rpc: RpcCaller, new_customer: Callable[[], Identity]) -> CartClient:
    """The own cart of a new customer."""
    return CartClient(rpc, MY_CART_ID, new_customer())


@pytest.fixture(scope="session")
def cart_settings(stack: Stack) -> CartSettings:
    return CartSettings(
        _env_file=None,
        nats_url=stack.nats_url,
        nats_password=stack.nats_password("cart"),
        mongo_url=stack.cart_url(),
        mongo_password=stack.cart_mongo_password(),
    )


@pytest.fixture(scope="session")
async def store(cart_settings: CartSettings) -> AsyncIterator[Mongo]:
    async with connect(cart_settings, "test", indexes=INDEXES) as mongo:
        yield mongo


@pytest.fixture(scope="session")
async def deps(store: Mongo, cart_settings: CartSettings, as_service: Callable[[str], Any]) -> CartDeps:
    """The dependencies of the handlers, in the test process."""
    return build_deps(store, (await as_service("cart")).rpc, cart_settings)
