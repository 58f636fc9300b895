"""A shop of its own for the audit: orders that came to different ends, and a hand that reaches into its stores."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from motor.motor_asyncio import AsyncIOMotorClient
from nats.aio.client import Client
from nats.js.api import DeliverPolicy
from nats.js.errors import NotFoundError

from contracts import cart, catalog, headers, order, payment
from contracts.event import Event
from contracts.identity import Identity
from contracts.order import Order
from contracts.registry import SUBSCRIPTIONS
from infra.database.checks import VerifyReport
from infra.foundation.ids import new_id
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.topology import consumer_config, consumers_for, stream_name
from infra.ops.cli.verify import stores_of
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack import Stack
from infra.ops.verify.runner import Verifier, VerifyTarget
from tests.support import rpc as asking
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller

PRICE = 1999
POSTGRES = ("user", "catalog", "order", "payment", "notification")


@dataclass
class SceneOrder:
    """An order and all that belongs to it, by the names that the audit tells."""

    order: Order
    ids: dict[str, Any]


@dataclass
class ShopScene:
    stack: Stack
    rpc: RpcCaller
    operator: Client
    databases: dict[str, Any] = field(default_factory=dict)
    """Pools, as each service; Any: their stubs know no functions of their own."""
    carts: Any = None

    async def open(self) -> None:
        for service in POSTGRES:
            self.databases[service] = await asyncpg.create_pool(self.stack.dsn(service), min_size=1, max_size=4)
        client: Any = AsyncIOMotorClient(
            self.stack.cart_url(),
            username="souk_cart",
            password=self.stack.mongo_password(),
            authSource="souk_cart",
            uuidRepresentation="standard",
        )
        self.carts = client["souk_cart"].carts

    async def close(self) -> None:
        for connection in self.databases.values():
            await connection.close()
        self.carts.database.client.close()

    @property
    def target(self) -> VerifyTarget:
        """Where the audit finds it."""
        return VerifyTarget(self.stack.nats_url, self.stack.password(OPERATOR), stores_of(self.stack))

    async def verify(self, **how: Any) -> VerifyReport:
        return await Verifier(self.target, **{"patience": 0.3, "most": 30.0, **how}).run()

    async def wait_for_audit_anchors(self) -> None:
        """The end of each audit trail stands where no database reaches it, too."""

        async def all_posted() -> bool:
            for service, database in self.databases.items():
                end = await database.fetchval("SELECT max(seq) FROM trail")
                assert end is None or await self._posted(service) == end, service
            return True

        await eventually(all_posted)

    async def _posted(self, service: str) -> int:
        try:
            last = await self.operator.jetstream().get_last_msg(
                AUDIT_ANCHOR_STREAM.name, AUDIT_ANCHOR_STREAM.subject_for(service)
            )
        except NotFoundError:
            return 0
        return int((last.headers or {})[headers.AUDIT_SEQ])

    # How it sells.

    async def create_product(self) -> str:
        sku = f"T-{new_id().hex}"
        price = {"amount": PRICE, "currency": "USD"}
        await self.rpc(
            catalog.CREATE_PRODUCT,
            {"name": "Lamp", "sku": sku, "price": price, "stock": 10},
            identity=asking.admin_identity(),
        )
        return sku

    async def place_order(self, who: Identity, sku: str, **more: Any) -> Order:
        lines = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": ADDRESS}
        placed: Order = await self.rpc(order.PLACE, {**lines, **more}, identity=who)
        return placed

    async def wait_for_status(self, order_id: UUID, status: str, who: Identity) -> Order:
        async def found() -> Order | None:
            one: Order = await self.rpc(order.GET, {"id": order_id}, identity=who)
            return one if one.status == status else None

        reached: Order | None = await eventually(found, timeout_seconds=60)
        assert reached is not None
        return reached

    async def pending(self) -> SceneOrder:
        who, sku = asking.customer_identity(), await self.create_product()
        return await self._thing(await self.place_order(who, sku), sku)

    async def paid(self) -> SceneOrder:
        who, sku = asking.customer_identity(), await self.create_product()
        placed = await self.place_order(who, sku, payment_method="sim_ok")
        return await self._thing(await self.wait_for_status(placed.id, "paid", who), sku)

    async def declined(self) -> SceneOrder:
        who, sku = asking.customer_identity(), await self.create_product()
        placed = await self.place_order(who, sku, payment_method="sim_declined")
        return await self._thing(await self.wait_for_status(placed.id, "cancelled", who), sku)

    async def cancelled(self) -> SceneOrder:
        who, sku = asking.customer_identity(), await self.create_product()
        placed = await self.place_order(who, sku)
        return await self._thing(await self.rpc(order.CANCEL, {"id": placed.id}, identity=who), sku)

    async def refunded(self) -> SceneOrder:
        thing = await self.paid()
        await self.rpc(payment.REFUND, {"id": thing.ids["payment_id"]}, identity=asking.admin_identity())
        await self.wait_for_status(thing.order.id, "refunded", asking.admin_identity())
        return thing

    async def from_cart(self) -> SceneOrder:
        who, sku = asking.customer_identity(), await self.create_product()
        await self.rpc(cart.CREATE, {}, identity=who)
        await self.rpc(cart.ADD, {"id": "mine", "sku": sku, "quantity": 1}, identity=who)
        lines = {"cart_id": "mine", "shipping_address": ADDRESS}
        placed = await self.rpc(order.PLACE, {**lines, "payment_method": "sim_ok"}, identity=who)
        return await self._thing(await self.wait_for_status(placed.id, "paid", who), sku)

    async def _thing(self, one: Order, sku: str) -> SceneOrder:
        held = await self.databases["order"].fetchrow("SELECT hold_id, cart_id FROM orders WHERE id = $1", one.id)
        paid = await self.databases["payment"].fetchval("SELECT id FROM payment WHERE order_id = $1", one.id)
        payment_id = UUID(int=paid.int) if paid else None  # the driver's own kind of UUID cannot be sent
        ids = {"order_id": one.id, "hold_id": held["hold_id"], "payment_id": payment_id, "cart": held["cart_id"]}
        return SceneOrder(one, {**ids, "sku": sku, "user_id": one.user_id, "other": new_id(), "more": new_id()})

    # The hand that reaches in, while no service runs.

    async def execute(self, service: str, statement: str, ids: dict[str, Any]) -> None:
        """`{order_id}` and so on stand for what the thing is called by."""
        await self.databases[service].execute(statement.format(**ids))

    async def publish_raw(self, event: type[Event], aggregate: UUID, event_id: UUID | None = None, **body: Any) -> int:
        """An event in its stream, where nothing is checked of it; its sequence."""
        said = event_id or new_id()
        header = {headers.EVENT_ID: str(said), headers.EVENT_TYPE: event.ce_type()}
        subject = event.subject_pattern().replace("*", str(aggregate))
        done = await self.operator.jetstream().publish(subject, orjson.dumps(body), headers=header)
        return int(done.seq)

    async def mark_consumed(self, event_id: UUID, *services: str) -> None:
        """As if they had heard it."""
        for service in services:
            await self.databases[service].execute("INSERT INTO inbox (event_id) VALUES ($1)", event_id)

    async def first_event(self, event: type[Event], aggregate: UUID) -> tuple[int, UUID, bytes]:
        """The event as it was said first: where, its id and its body."""
        subject = event.subject_pattern().replace("*", str(aggregate))
        message = await self.operator.jetstream().get_msg(stream_name(event.service), seq=1, next=True, subject=subject)
        assert message.seq is not None
        assert message.headers is not None
        return message.seq, UUID(message.headers[headers.EVENT_ID]), message.data or b"{}"

    async def delete_event(self, event: type[Event], aggregate: UUID) -> tuple[int, UUID, bytes]:
        found = await self.first_event(event, aggregate)
        await self.operator.jetstream().delete_msg(stream_name(event.service), found[0])
        return found

    async def skip_to_stream_ends(self) -> None:
        """Moves every consumer behind what has been said by now."""
        js = self.operator.jetstream()
        for consumer in (one for service in SUBSCRIPTIONS for one in consumers_for(service)):
            last = (await js.stream_info(consumer.stream)).state.last_seq
            await js.delete_consumer(consumer.stream, consumer.service)
            config = consumer_config(consumer)
            await js.add_consumer(
                consumer.stream,
                config.evolve(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=last + 1),
            )

    async def set_services_running(self, *, run: bool) -> None:
        names = ("user", "catalog", "cart", "order", "payment", "notification")
        if run:
            await asyncio.gather(*(self.stack.start(name) for name in names))
        else:
            await asyncio.gather(*(self.stack.stop(name) for name in names))
