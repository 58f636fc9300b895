"""The audit trail: what may be told in it, that no act is without its note, and that it is one chain."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from nats.aio.client import Client

from contracts import catalog, headers, order, user
from contracts.audit_log import REDACTED, AuditLogEntry
from contracts.catalog import AdjustStock, CreateProduct, VariantInput
from contracts.failure import InvalidCursor
from contracts.identity import ApiKeyScope, Identity, Role
from contracts.model import Empty, Model
from contracts.money import Money
from contracts.operation import AnyOperation
from contracts.order import OrderRef, UpdateOrder
from contracts.registry import AUDIT_LOGS, OPERATIONS
from contracts.user import Login, UpdateUser
from infra.database import audit_log as trail
from infra.database.postgres import Database, connect
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import append_only_stream as ledger
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc import Request
from infra.ops.verify.audit_log_check import HashChain
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity, customer_identity

NAMES_NOBODY = {"sku", "skus", "currency", "subject"}
"""Every field of a request, however deep, whose strings stand in a trail as they are."""


@pytest.fixture
async def database(kernel: KernelStack) -> AsyncIterator[Database]:
    async with connect(kernel.settings(), "order") as found:
        yield found


async def entries(database: Database, subject: UUID | str) -> list[AuditLogEntry]:
    """Of one thing, the newest first."""
    async with database.connection() as connection:
        return (await trail.read_page(connection, AUDIT_LOGS["order"].request(subject=str(subject), limit=100))).items


def asked(operation: AnyOperation, body: Model, who: Identity | None = None, key: str = "") -> Request[Any]:
    kept = IdempotencyKey.derive(operation.subject, "somebody", key, b"{}") if key else None
    return Request(body, who or admin_identity(), "203.0.113.7", idempotency_key=kept, operation=operation)


# What is told.


def messages(model: type[Model]) -> Iterator[type[Model]]:
    for one in model.__subclasses__():
        yield one
        yield from messages(one)


def test_no_string_is_told_but_those_that_name_nobody() -> None:
    requests = {operation.request for operation in OPERATIONS}
    assert len(requests) > 50
    assert {
        name for model in {*messages(Model), *requests} for name in trail.non_personal_fields(model)
    } <= NAMES_NOBODY


def test_of_a_person_only_is_told_that_they_were_named() -> None:
    account_id = new_id()
    said = UpdateUser(id=account_id, first_name="Ada", role=Role.ADMIN)
    assert trail.redact(said) == {"id": str(account_id), "first_name": REDACTED, "role": "admin"}
    login = Login.model_validate({"email": "ada@example.com", "password": "correct horse"})
    assert trail.redact(login) == {"email": REDACTED, "password": REDACTED}


def test_of_an_address_nothing_is_told() -> None:
    address = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "postal_code": "1", "country": "GB"}
    told = trail.redact(UpdateOrder.model_validate({"id": new_id(), "shipping_address": address}, strict=False))
    assert told["shipping_address"] == dict.fromkeys(address, REDACTED)


def test_goods_prices_and_numbers_are_told() -> None:
    price = Money(amount=1999, currency="USD")
    said = CreateProduct(
        name="Lamp", tags=["Ada"], attributes={"for": "Ada"}, variants=[VariantInput(sku="A-1", price=price)]
    )
    assert trail.redact(said) == {
        "name": REDACTED,
        "tags": [REDACTED],
        "attributes": REDACTED,
        "variants": [{"sku": "A-1", "price": {"amount": 1999, "currency": "USD"}}],
    }
    assert trail.redact(AdjustStock(sku="A-1", delta=-2, reason="Ada")) == {
        "sku": "A-1",
        "delta": -2,
        "reason": REDACTED,
    }


def test_what_a_handler_adds_is_told_by_the_same_rule() -> None:
    told = trail.redact_values(
        {"role": Role.ADMIN, "is_active": False, "email": "ada@example.com", "rate": 0.5, "none": None}
    )
    assert told == {"role": "admin", "is_active": False, "email": REDACTED, "rate": REDACTED, "none": None}


@pytest.mark.parametrize(
    ("client", "of_staff", "of_others"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2::7", "2001:db8:1:2::7", "2001:db8:1::/48"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::", "2001:db8:1::/48"),
        ("ada@example.com", "", ""),
        ("", "", ""),
    ],
)
def test_where_it_came_from(client: str, of_staff: str, of_others: str) -> None:
    assert trail.anonymize_ip(client, trail.OPERATOR_ACTOR) == of_staff
    assert trail.anonymize_ip(client, trail.person_actor(new_id(), Role.ADMIN)) == of_staff
    assert trail.anonymize_ip(client, trail.person_actor(new_id(), Role.CUSTOMER)) == of_others
    assert trail.anonymize_ip(client, trail.ANONYMOUS_ACTOR) == of_others


def test_a_name_that_a_client_gave_its_request_is_not_kept() -> None:
    assert trail.is_uuid(str(new_id()))
    assert not trail.is_uuid("ada.lovelace")


def test_a_machine_is_known_by_its_key() -> None:
    key = Identity(user_id=new_id(), role=Role.ADMIN, scopes=(ApiKeyScope.ORDER_WRITE,))
    note = trail.entry_for_request(asked(order.CANCEL, OrderRef(id=new_id()), key))
    assert note is not None
    assert (note.actor.kind, note.actor.id) == ("key", key.user_id)


# What is noted.


@pytest.mark.parametrize(
    ("operation", "who", "noted"),
    [
        (catalog.ADJUST_STOCK, admin_identity(), True),
        (catalog.LIST_STOCK, admin_identity(), False),
        (order.CANCEL, admin_identity(), True),
        (order.CANCEL, customer_identity(), False),
        (order.PLACE, customer_identity(), False),
        (order.PLACE, admin_identity(), False),
        (order.REPAIR, None, True),
        (catalog.HOLD, None, False),
        (user.LOGIN, None, True),
        (user.REFRESH, None, False),
        (user.CHANGE_PASSWORD, customer_identity(), True),
        (user.UPDATE_PROFILE, customer_identity(), False),
    ],
)
def test_which_acts_are_noted(operation: AnyOperation, who: Identity | None, noted: bool) -> None:  # noqa: FBT001
    assert trail.is_audited(operation, who) is noted


async def test_an_act_is_noted_with_who_what_and_from_where(database: Database) -> None:
    who, body = admin_identity(), OrderRef(id=new_id())
    async with database.transaction(asked(order.CANCEL, body, who)) as tx:
        tx.audit_changes(before={"status": order.OrderStatus.PAID}, after={"status": order.OrderStatus.CANCELLED})
        tx.reply(Empty())
    (entry,) = await entries(database, body.id)
    assert (entry.act, entry.actor.kind, entry.actor.id) == ("order.cancel", "person", who.user_id)
    assert (entry.client, entry.subject) == ("203.0.113.7", str(body.id))
    assert (entry.before, entry.after) == ({"status": "paid"}, {"id": str(body.id), "status": "cancelled"})


async def test_an_act_that_is_undone_leaves_no_note(database: Database) -> None:
    body = OrderRef(id=new_id())

    async def cancel() -> None:
        async with database.transaction(asked(order.CANCEL, body)) as tx:
            tx.reply(Empty())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel()
    assert await entries(database, body.id) == []


async def test_the_same_request_twice_is_one_act(database: Database) -> None:
    body, key = OrderRef(id=new_id()), new_id().hex

    async def cancel() -> None:
        async with database.transaction(asked(order.CANCEL, body, key=key)) as tx:
            tx.reply(Empty())

    await cancel()
    with pytest.raises(AlreadyProcessed):
        await cancel()
    assert len(await entries(database, body.id)) == 1


async def test_a_transaction_that_only_keeps_an_answer_is_no_act(database: Database) -> None:
    ask = asked(order.CANCEL, OrderRef(id=new_id()), key=new_id().hex)
    async with database.transaction() as tx:
        tx.audit_action(ask)
    async with database.transaction(ask, acts=False) as tx:
        tx.reply(Empty())
    assert len(await entries(database, ask.body.id)) == 1


async def test_fifty_at_once_make_one_chain(database: Database) -> None:
    bodies = [OrderRef(id=new_id()) for _ in range(50)]

    async def cancel(body: OrderRef) -> None:
        async with database.transaction(asked(order.CANCEL, body)) as tx:
            tx.reply(Empty())

    await asyncio.gather(*map(cancel, bodies))
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM trail ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["subject"] for row in rows} >= {str(body.id) for body in bodies}
    chain = HashChain("order")
    assert [wrong for row in rows for wrong in chain.check_next(row)] == []


@pytest.mark.parametrize("statement", ["UPDATE trail SET act = 'x.y'", "DELETE FROM trail", "TRUNCATE trail"])
async def test_it_only_grows(kernel: KernelStack, database: Database, statement: str) -> None:
    """For the service, and for a superuser who does not go out of their way."""
    async with database.transaction(asked(order.CANCEL, OrderRef(id=new_id()))) as tx:
        tx.reply(Empty())
    async with database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    superuser = await asyncpg.connect(kernel.stack.postgres_url.rpartition("/")[0] + "/souk_order")
    await superuser.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only grows"):
        await superuser.execute(statement)
    await superuser.close()


# How it is read, and where its end is posted.


async def test_pages_and_filters(database: Database) -> None:
    who, ids = admin_identity(), [new_id() for _ in range(5)]
    for one in ids:
        async with database.transaction(asked(order.CANCEL, OrderRef(id=one), who)) as tx:
            tx.reply(Empty())
    seen: list[str] = []
    after = None
    async with database.connection() as connection:
        while True:
            wanted = AUDIT_LOGS["order"].request(actor=who.user_id, act="order.cancel", limit=2, after=after)
            page = await trail.read_page(connection, wanted)
            seen += [entry.subject for entry in page.items]
            after = page.next
            if after is None:
                break
        assert seen == [str(one) for one in reversed(ids)]
        other = AUDIT_LOGS["order"].request(actor=who.user_id, act="order.update")
        assert (await trail.read_page(connection, other)).items == []
        with pytest.raises(InvalidCursor):
            await trail.read_page(connection, AUDIT_LOGS["order"].request(after="WzBd"))


async def test_its_end_is_posted_and_administrators_read_it(kernel: KernelStack, kernel_client: Client) -> None:
    stores: list[Database] = []

    def build(kit: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(kit.store)
        return ServiceParts(None, {})

    async with kernel.serve(build), kernel.client("edge") as edge:
        async with stores[0].transaction(asked(order.CANCEL, OrderRef(id=new_id()))) as tx:
            tx.reply(Empty())
        (last,) = (await RpcCaller(edge)(AUDIT_LOGS["order"], {"limit": 1}, identity=admin_identity())).items

        async def posted() -> bool:
            message = await kernel_client.jetstream().get_last_msg(ledger.AUDIT_ANCHOR_STREAM.name, "trail.order")
            said = message.headers or {}
            return (said[headers.AUDIT_SEQ], said[headers.AUDIT_HASH]) == (str(last.seq), last.hash)

        assert await eventually(posted)
