"""The payment service alone, as a process on real servers, with a fake order service run by the test.

So a test decides what orders look like, and can publish their events twice, late and out of order.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts import headers, order
from contracts import payment as contract
from contracts.event import Event
from contracts.gift_cards import GiftCardPart
from contracts.identity import Identity, Role
from contracts.money import Money
from contracts.order import (
    CancelReason,
    OrderCancelled,
    OrderPlaced,
    OrderStatus,
    Payable,
    PayableList,
    PayablesRequest,
)
from contracts.payment import Payment
from infra.database.postgres import connect
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import connection as messaging
from infra.messaging.rpc_client import RpcClient
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from services.payment.deps import PaymentDeps
from services.payment.domain.gift_card_guesses import GiftCardGuessLimit
from services.payment.gateways import GatewayRegistry
from services.payment.gateways.simulator import Simulator
from tests.conftest import FAST_SETTINGS, FREE_PORTS
from tests.support.event_recorder import EventRecorder
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

ADMIN = Identity(user_id=new_id(), role=Role.ADMIN)
GIFT_CARD_SECRET = "a secret of tests"


class FakeOrderService:
    """Answers `rpc.order.payables` and publishes order events, with the NATS rights of the order service."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.payables: dict[UUID, Payable] = {}
        self.requested_ids: list[UUID] = []

    async def serve(self) -> None:
        await self.client.subscribe(order.PAYABLES.subject, queue="order", cb=self._reply)

    async def _reply(self, message: Msg) -> None:
        order_ids = PayablesRequest.model_validate_json(message.data).order_ids
        self.requested_ids += order_ids
        found = [self.payables[order_id] for order_id in order_ids if order_id in self.payables]
        await message.respond(PayableList(items=found).model_dump_json().encode())

    def add(self, amount: int, method: str | None, currency: str = "USD") -> "PlacedOrder":
        placed = PlacedOrder(self, new_id(), Identity(user_id=new_id(), role=Role.CUSTOMER), amount, currency)
        self.set(placed, OrderStatus.PENDING, method)
        return placed

    def set(self, placed: "PlacedOrder", status: OrderStatus, method: str | None = None) -> None:
        self.payables[placed.id] = Payable(
            order_id=placed.id,
            user_id=placed.customer.user_id,
            status=status,
            total=placed.total,
            payment_method=method,
            gift_cards=placed.gift_cards,
        )

    async def publish(self, event: Event, *, event_id: UUID | None = None, traceparent: str | None = None) -> None:
        """Publishes an event as the outbox does, as often as the test calls it."""
        header = {
            headers.MESSAGE_ID: str(new_id()),
            headers.EVENT_ID: str(event_id or new_id()),
            headers.EVENT_TYPE: event.ce_type(),
            headers.EVENT_SOURCE: event.ce_source(),
            headers.TRACEPARENT: traceparent or trace.start().traceparent,
        }
        await self.client.jetstream().publish(event.subject, event.model_dump_json().encode(), headers=header)


@dataclass(frozen=True)
class PlacedOrder:
    """An order of the fake order service, and what can happen to it."""

    orders: FakeOrderService
    id: UUID
    customer: Identity
    amount: int
    currency: str
    gift_cards: GiftCardPart | None = None
    event_ids: dict[str, UUID] = field(default_factory=lambda: {"placed": new_id(), "cancelled": new_id()})

    @property
    def total(self) -> Money:
        return Money(amount=self.amount, currency=self.currency)

    @property
    def _common_fields(self) -> dict[str, Any]:
        number, user_id = f"T-{self.id.hex[-8:]}", self.customer.user_id
        return {"order_id": self.id, "number": number, "user_id": user_id, "total": self.total, "hold_id": self.id}

    async def place(self, *, charge: bool = True, **options: Any) -> None:
        event = OrderPlaced(
            **self._common_fields,
            cart_id=None,
            cart_version=None,
            charge=charge,
            items=[],
            gift_cards=self.gift_cards,
        )
        await self.orders.publish(event, event_id=self.event_ids["placed"], **options)

    async def cancel(self, was: OrderStatus = OrderStatus.PENDING) -> None:
        event = OrderCancelled(
            **self._common_fields,
            payment_id=None,
            was=was,
            reason=CancelReason.CUSTOMER,
            gift_cards=self.gift_cards,
        )
        self.orders.set(self, OrderStatus.CANCELLED)
        await self.orders.publish(event, event_id=self.event_ids["cancelled"])


@dataclass(frozen=True)
class PaymentHarness:
    """The running payment service, and the clients and stores around it."""

    stack: Stack
    rpc: RpcCaller
    as_order: RpcCaller
    as_operator: RpcCaller
    orders: FakeOrderService
    events: EventRecorder
    db: asyncpg.Pool
    _waking: set[asyncio.Task[None]] = field(default_factory=set)

    def order(self, method: str | None = "sim_ok", *, amount: int = 1999, currency: str = "USD") -> PlacedOrder:
        return self.orders.add(amount, method, currency)

    async def payments(self, placed: PlacedOrder) -> list[Payment]:
        found = await self.rpc(contract.LIST, {"order_id": str(placed.id)}, identity=ADMIN)
        payments: list[Payment] = found.items
        return payments

    async def wait_for_payment(self, placed: PlacedOrder, status: str) -> Payment:
        """Waits until the one payment of the order has this status, and returns it."""

        async def found() -> Payment:
            (payment,) = await self.payments(placed) or [None]
            assert payment is not None
            assert payment.status == status, payment
            return payment

        return await eventually(found)

    async def captured(self, **options: Any) -> tuple[PlacedOrder, Payment]:
        placed = self.order(**options)
        await placed.place()
        return placed, await self.wait_for_payment(placed, "captured")

    async def pay(self, placed: PlacedOrder, method: str = "sim_ok", **options: Any) -> Payment:
        body = {"order_id": str(placed.id), "payment_method": method}
        paid: Payment = await self.rpc(contract.CREATE, body, identity=placed.customer, **options)
        return paid

    async def refund(self, payment: Payment, amount: int | None = None, *, key: str | None = None, **more: Any) -> Any:
        body = {"id": str(payment.id), "amount": amount, **more}
        return await self.rpc(contract.REFUND, body, identity=ADMIN, key=key)

    async def captured_at_gateway(self, placed: PlacedOrder) -> int:
        """What the gateway reports as captured for the order, less what it refunded."""
        return await self.db.fetchval(
            """
            SELECT coalesce(sum(charge.amount - (
                SELECT coalesce(sum(amount), 0) FROM simulator.refund
                WHERE charge_key = charge.key AND state = 'refunded'
            )), 0)::bigint
            FROM simulator.charge WHERE state = 'captured' AND effective_at <= now()
                AND key IN (SELECT id FROM payment WHERE order_id = $1)
            """,
            placed.id,
        )

    async def wait_until_consumed(self) -> None:
        """Waits until all published order events are applied: a marker published after them is in the inbox."""
        marker = self.order(None)
        await marker.place(charge=False)
        await eventually(lambda: self._in_inbox(marker.event_ids["placed"]))

    def wake_relay(self) -> None:
        """Wakes the relay of the running service, for a process that commits events and runs no relay."""
        task = asyncio.create_task(self.as_operator.client.publish("wake.payment"))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _in_inbox(self, event_id: UUID) -> bool:
        return bool(await self.db.fetchval("SELECT true FROM inbox WHERE event_id = $1", event_id))

    async def wait_until_idle(self) -> None:
        """Waits until no gateway work is pending."""
        await eventually(self._nothing_due)

    async def _nothing_due(self) -> bool:
        return not await self.db.fetchval(
            "SELECT EXISTS (SELECT FROM attempt) OR EXISTS (SELECT FROM refund WHERE status = 'pending')"
        )


@pytest.fixture(scope="session")
async def harness(data_folder: Path) -> AsyncIterator[PaymentHarness]:
    """A stack that runs the payment service only."""
    options = StackSettings(
        _env_file=None,
        data=data_folder / "payment",
        parts=frozenset({"nats", "postgres", "services"}),
        services=("payment",),
        process_env={**FAST_SETTINGS, "SOUK_CHARGE_DEADLINE": "30"},
        **FREE_PORTS,
    )
    async with Stack(options).running() as stack, AsyncExitStack() as opened:

        async def client(name: str) -> Client:
            return await opened.enter_async_context(messaging.connect(stack.nats_url, name, stack.nats_password(name)))

        orders = FakeOrderService(await client("order"))
        await orders.serve()
        events = EventRecorder()
        operator = await client("operator")
        await events.start(operator)
        db = await opened.enter_async_context(asyncpg.create_pool(stack.dsn("payment"), min_size=1, max_size=5))
        yield PaymentHarness(
            stack, RpcCaller(await client("edge")), RpcCaller(orders.client), RpcCaller(operator), orders, events, db
        )


@pytest.fixture
async def deps(harness: PaymentHarness) -> AsyncIterator[PaymentDeps]:
    """The dependencies of a payment process that charges nothing itself."""
    async with connect(settings_of(harness.stack), "payment-test") as db:
        yield PaymentDeps(
            db,
            RpcClient(harness.orders.client, 1),
            GatewayRegistry([Simulator(db, late_seconds=0)]),
            gateway_timeout_seconds=1,
            gateway_concurrency=1,
            charge_deadline_seconds=30,
            wait_seconds=1,
            gift_card_secret=GIFT_CARD_SECRET,
            gift_card_guesses=GiftCardGuessLimit(0, GIFT_CARD_SECRET),
        )


@pytest.fixture(scope="session")
def run_concurrently() -> Callable[..., Awaitable[list[Any]]]:
    """Runs coroutines concurrently and returns what each returned or raised."""
    from asyncio import gather  # noqa: PLC0415

    async def run(*calls: Awaitable[Any]) -> list[Any]:
        return list(await gather(*calls, return_exceptions=True))

    return run


@pytest.fixture(scope="session")
async def simulator(harness: PaymentHarness) -> AsyncIterator[Simulator]:
    """A simulator on the database of the running service."""
    async with connect(settings_of(harness.stack), "payment-test") as db:
        yield Simulator(db, late_seconds=0.3)


@pytest.fixture(scope="session")
def disconnected_simulator(harness: PaymentHarness) -> Callable[[], Awaitable[Simulator]]:
    """A simulator whose database connection is closed."""

    async def disconnect() -> Simulator:
        async with connect(settings_of(harness.stack), "payment-test") as db:
            return Simulator(db, late_seconds=0)

    return disconnect


def settings_of(stack: Stack) -> PostgresSettings:
    """The database settings of the running payment service."""
    return PostgresSettings(
        _env_file=None,
        nats_password="",
        database_url=stack.dsn("payment", with_password=False),
        database_password=stack.secrets.get_or_create("payment", "souk_database_password"),
    )
