"""A shop for the tests of `souk verify`: it brings orders into every state, and changes its stores directly."""

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

from contracts import cart, catalog, gift_cards, headers, order, payment
from contracts.event import Event
from contracts.identity import Identity
from contracts.order import Order
from contracts.registry import SUBSCRIPTIONS
from infra.database.checks import VerifyReport
from infra.foundation.ids import new_id
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.topology import consumer_config, consumers_for, stream_name
from infra.ops.cli.verify import store_addresses
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.stack import Stack
from infra.ops.verify.runner import Verifier, VerifyTarget
from tests.support.eventually import eventually
from tests.support.http import ADDRESS
from tests.support.rpc import RpcCaller, admin_identity, customer_identity

PRICE = 1999
POSTGRES = ("user", "catalog", "order", "payment", "notification")


@dataclass
class SceneOrder:
    """An order and the ids of its items, by the names that the checks use."""

    order: Order
    ids: dict[str, Any]


@dataclass
class ShopScene:
    """A running shop with direct access to its stores and streams."""

    stack: Stack
    rpc: RpcCaller
    operator: Client
    databases: dict[str, Any] = field(default_factory=dict)
    """A pool per service, with its rights. Any: the stubs of asyncpg lack pool methods."""
    carts: Any = None

    async def open(self) -> None:
        for service in POSTGRES:
            self.databases[service] = await asyncpg.create_pool(self.stack.dsn(service), min_size=1, max_size=4)
        client: Any = AsyncIOMotorClient(
            self.stack.cart_url(),
            username="souk_cart",
            password=self.stack.cart_mongo_password(),
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
        """The shop as `souk verify` reaches it."""
        return VerifyTarget(self.stack.nats_url, self.stack.nats_password(OPERATOR), store_addresses(self.stack))

    async def verify(self, **options: Any) -> VerifyReport:
        """Verifies the shop; `options` are those of `Verifier`."""
        return await Verifier(self.target, **{"confirm_after_seconds": 0.3, "timeout_seconds": 30.0, **options}).run()

    async def wait_for_audit_anchors(self) -> None:
        """Waits until the end of each audit log is published."""

        async def all_published() -> bool:
            for service, database in self.databases.items():
                end = await database.fetchval("SELECT max(seq) FROM trail")
                assert end is None or await self._published_seq(service) == end, service
            return True

        await eventually(all_published)

    async def _published_seq(self, service: str) -> int:
        try:
            last = await self.operator.jetstream().get_last_msg(
                AUDIT_ANCHOR_STREAM.name, AUDIT_ANCHOR_STREAM.subject_for(service)
            )
        except NotFoundError:
            return 0
        return int((last.headers or {})[headers.AUDIT_SEQ])

    # Orders.

    async def create_product(self) -> str:
        sku = f"T-{new_id().hex}"
        price = {"amount": PRICE, "currency": "USD"}
        await self.rpc(
            catalog.CREATE_PRODUCT,
            {"name": "Lamp", "sku": sku, "price": price, "stock": 10},
            identity=admin_identity(),
        )
        return sku

    async def place_order(self, customer: Identity, sku: str, **more: Any) -> Order:
        lines = {"items": [{"sku": sku, "quantity": 1}], "shipping_address": ADDRESS}
        placed: Order = await self.rpc(order.PLACE, {**lines, **more}, identity=customer)
        return placed

    async def wait_for_status(self, order_id: UUID, status: str, customer: Identity) -> Order:
        async def found() -> Order | None:
            one: Order = await self.rpc(order.GET, {"id": order_id}, identity=customer)
            return one if one.status == status else None

        reached: Order | None = await eventually(found, timeout_seconds=60)
        assert reached is not None
        return reached

    async def pending(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        return await self._scene_order(await self.place_order(customer, sku), sku)

    async def paid(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        placed = await self.place_order(customer, sku, payment_method="sim_ok")
        return await self._scene_order(await self.wait_for_status(placed.id, "paid", customer), sku)

    async def sent_in_two_parcels(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        lines = [{"sku": sku, "quantity": 2}]
        placed = await self.place_order(customer, sku, items=lines, payment_method="sim_ok")
        await self.wait_for_status(placed.id, "paid", customer)
        for _ in range(2):
            parcel = {"id": str(placed.id), "items": [{"sku": sku, "quantity": 1}]}
            sent = await self.rpc(order.CREATE_FULFILMENT, parcel, identity=admin_identity())
        return await self._scene_order(sent, sku)

    async def paid_with_gift_card(self) -> SceneOrder:
        """An order that a gift card pays in part; another one, which it pays completely, is cancelled and refunded."""
        customer, sku = customer_identity(), await self.create_product()
        amount = {"amount": PRICE + 500, "currency": "USD"}
        card = await self.rpc(gift_cards.ISSUE_GIFT_CARD, {"amount": amount}, identity=admin_identity())
        both = [await self.place_order(customer, sku, gift_cards=[card.code], payment_method="sim_ok") for _ in "ab"]
        for placed in both:
            await self.wait_for_status(placed.id, "paid", customer)
        await self.rpc(order.CANCEL, {"id": both[0].id}, identity=customer)
        return await self._scene_order(both[1], sku)

    async def with_cancelled_units(self) -> SceneOrder:
        """A paid order of which one of two units was cancelled and refunded."""
        customer, sku = customer_identity(), await self.create_product()
        lines = [{"sku": sku, "quantity": 2}]
        placed = await self.place_order(customer, sku, items=lines, payment_method="sim_ok")
        await self.wait_for_status(placed.id, "paid", customer)
        cancelled = {"id": str(placed.id), "items": [{"sku": sku, "quantity": 1}]}
        scene_order = await self._scene_order(await self.rpc(order.CANCEL, cancelled, identity=customer), sku)

        async def returned() -> bool:
            is_refunded = "SELECT status = 'partially_refunded' FROM payment WHERE id = $1"
            is_on_hand = "SELECT quantities = '{1}' FROM hold WHERE id = $1"
            return bool(
                await self.databases["payment"].fetchval(is_refunded, scene_order.ids["payment_id"])
                and await self.databases["catalog"].fetchval(is_on_hand, scene_order.ids["hold_id"])
            )

        await eventually(returned, timeout_seconds=60)
        return scene_order

    async def declined(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        placed = await self.place_order(customer, sku, payment_method="sim_declined")
        return await self._scene_order(await self.wait_for_status(placed.id, "cancelled", customer), sku)

    async def cancelled(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        placed = await self.place_order(customer, sku)
        return await self._scene_order(await self.rpc(order.CANCEL, {"id": placed.id}, identity=customer), sku)

    async def refunded(self) -> SceneOrder:
        scene_order = await self.paid()
        await self.rpc(payment.REFUND, {"id": scene_order.ids["payment_id"]}, identity=admin_identity())
        await self.wait_for_status(scene_order.order.id, "refunded", admin_identity())
        return scene_order

    async def from_cart(self) -> SceneOrder:
        customer, sku = customer_identity(), await self.create_product()
        await self.rpc(cart.CREATE, {}, identity=customer)
        await self.rpc(cart.ADD, {"id": "mine", "sku": sku, "quantity": 1}, identity=customer)
        lines = {"cart_id": "mine", "shipping_address": ADDRESS}
        placed = await self.rpc(order.PLACE, {**lines, "payment_method": "sim_ok"}, identity=customer)
        return await self._scene_order(await self.wait_for_status(placed.id, "paid", customer), sku)

    async def beside_cart(self) -> SceneOrder:
        """An unpaid order from a cart; `other` is another unpaid order of the same customer."""
        customer, sku = customer_identity(), await self.create_product()
        await self.rpc(cart.ADD, {"id": "mine", "sku": sku, "quantity": 1}, identity=customer)
        placed = await self.rpc(order.PLACE, {"cart_id": "mine", "shipping_address": ADDRESS}, identity=customer)
        scene_order = await self._scene_order(placed, sku)
        scene_order.ids["other"] = (await self.place_order(customer, sku)).id
        return scene_order

    async def _scene_order(self, one: Order, sku: str) -> SceneOrder:
        order_row = await self.databases["order"].fetchrow("SELECT hold_id, cart_id FROM orders WHERE id = $1", one.id)
        paid = await self.databases["payment"].fetchval("SELECT id FROM payment WHERE order_id = $1", one.id)
        payment_id = UUID(int=paid.int) if paid else None  # the driver's own kind of UUID cannot be sent
        ids = {
            "order_id": one.id,
            "hold_id": order_row["hold_id"],
            "payment_id": payment_id,
            "cart": order_row["cart_id"],
        }
        return SceneOrder(one, {**ids, "sku": sku, "user_id": one.user_id, "other": new_id(), "more": new_id()})

    # Direct changes, while no service runs.

    async def execute(self, service: str, statement: str, ids: dict[str, Any]) -> None:
        """Runs a statement in which `{order_id}` and so on stand for the ids."""
        await self.databases[service].execute(statement.format(**ids))

    async def publish_raw(self, event: type[Event], aggregate: UUID, event_id: UUID | None = None, **body: Any) -> int:
        """Publishes an event without any check; returns its sequence."""
        published_id = event_id or new_id()
        header = {headers.EVENT_ID: str(published_id), headers.EVENT_TYPE: event.ce_type()}
        subject = event.subject_pattern().replace("*", str(aggregate))
        done = await self.operator.jetstream().publish(subject, orjson.dumps(body), headers=header)
        return int(done.seq)

    async def mark_consumed(self, event_id: UUID, *services: str) -> None:
        """Adds an event to inboxes, as if the services had applied it."""
        for service in services:
            await self.databases[service].execute("INSERT INTO inbox (event_id) VALUES ($1)", event_id)

    async def first_event(self, event: type[Event], aggregate: UUID) -> tuple[int, UUID, bytes]:
        """The first event of this kind: sequence, id and body."""
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
        """Moves every consumer to the current end of its stream."""
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
