"""The audit log: redaction, an entry for every audited action, and one hash chain."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

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
from contracts.size_limits import MAX_REPLY_BYTES
from contracts.user import Login, UpdateUser
from infra.database import audit_log
from infra.database.audit_log import OPERATOR_ACTOR, AuditEntry
from infra.database.postgres import Database, connect
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import append_only_stream
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey
from infra.messaging.rpc_client import Request
from infra.ops.verify.audit_log_check import HashChain
from infra.runtime.service import Resources, ServiceParts
from tests.infra.conftest import KernelStack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller, admin_identity, customer_identity

NON_PERSONAL_FIELDS = {"sku", "skus", "currency", "subject"}
"""Every field of a request, at any depth, whose strings appear in an audit log unredacted."""


@pytest.fixture
async def database(kernel: KernelStack) -> AsyncIterator[Database]:
    async with connect(kernel.settings(), "order") as found:
        yield found


async def entries(database: Database, subject: UUID | str) -> list[AuditLogEntry]:
    """The entries of one subject, the newest first."""
    async with database.connection() as connection:
        return (
            await audit_log.read_page(connection, AUDIT_LOGS["order"].request(subject=str(subject), limit=100))
        ).items


def request_of(operation: AnyOperation, body: Model, who: Identity | None = None, key: str = "") -> Request[Any]:
    idempotency_key = IdempotencyKey.derive(operation.subject, "a caller", key, b"{}") if key else None
    return Request(body, who or admin_identity(), "203.0.113.7", idempotency_key=idempotency_key, operation=operation)


# Redaction.


def messages(model: type[Model]) -> Iterator[type[Model]]:
    for one in model.__subclasses__():
        yield one
        yield from messages(one)


def test_only_strings_that_identify_no_person_are_kept() -> None:
    requests = {operation.request for operation in OPERATIONS}
    assert len(requests) > 50
    assert {
        name for model in {*messages(Model), *requests} for name in audit_log.non_personal_fields(model)
    } <= NON_PERSONAL_FIELDS


def test_names_and_credentials_are_redacted() -> None:
    account_id = new_id()
    message = UpdateUser(id=account_id, first_name="Ada", role=Role.ADMIN)
    assert audit_log.redact(message) == {"id": str(account_id), "first_name": REDACTED, "role": "admin"}
    login = Login.model_validate({"email": "ada@example.com", "password": "correct horse"})
    assert audit_log.redact(login) == {"email": REDACTED, "password": REDACTED}


def test_addresses_are_redacted() -> None:
    address = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "postal_code": "1", "country": "GB"}
    redacted = audit_log.redact(UpdateOrder.model_validate({"id": new_id(), "shipping_address": address}, strict=False))
    assert redacted["shipping_address"] == dict.fromkeys(address, REDACTED)


def test_skus_prices_and_numbers_are_kept() -> None:
    price = Money(amount=1999, currency="USD")
    message = CreateProduct(
        name="Lamp", tags=["Ada"], attributes={"for": "Ada"}, variants=[VariantInput(sku="A-1", price=price)]
    )
    assert audit_log.redact(message) == {
        "name": REDACTED,
        "tags": [REDACTED],
        "attributes": REDACTED,
        "variants": [{"sku": "A-1", "price": {"amount": 1999, "currency": "USD"}}],
    }
    assert audit_log.redact(AdjustStock(sku="A-1", delta=-2, reason="Ada")) == {
        "sku": "A-1",
        "delta": -2,
        "reason": REDACTED,
    }


def test_values_of_handlers_are_redacted_by_the_same_rule() -> None:
    redacted = audit_log.redact_values(
        {"role": Role.ADMIN, "is_active": False, "email": "ada@example.com", "rate": 0.5, "none": None}
    )
    assert redacted == {"role": "admin", "is_active": False, "email": REDACTED, "rate": REDACTED, "none": None}


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
def test_addresses_of_customers_are_cut_to_the_network(client: str, of_staff: str, of_others: str) -> None:
    assert audit_log.anonymize_ip(client, audit_log.OPERATOR_ACTOR) == of_staff
    assert audit_log.anonymize_ip(client, audit_log.person_actor(new_id(), Role.ADMIN)) == of_staff
    assert audit_log.anonymize_ip(client, audit_log.person_actor(new_id(), Role.CUSTOMER)) == of_others
    assert audit_log.anonymize_ip(client, audit_log.ANONYMOUS_ACTOR) == of_others


def test_only_uuids_are_kept_as_request_ids() -> None:
    assert audit_log.is_uuid(str(new_id()))
    assert not audit_log.is_uuid("ada.lovelace")


def test_the_actor_of_an_api_key_is_the_key() -> None:
    key = Identity(user_id=new_id(), role=Role.ADMIN, scopes=(ApiKeyScope.ORDER_WRITE,))
    entry = audit_log.entry_for_request(request_of(order.CANCEL, OrderRef(id=new_id()), key))
    assert entry is not None
    assert (entry.actor.kind, entry.actor.id) == ("key", key.user_id)


# Audited actions.


@pytest.mark.parametrize(
    ("operation", "who", "audited"),
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
def test_which_operations_are_audited(operation: AnyOperation, who: Identity | None, audited: bool) -> None:  # noqa: FBT001
    assert audit_log.is_audited(operation, who) is audited


async def test_an_entry_has_actor_subject_changes_and_address(database: Database) -> None:
    who, body = admin_identity(), OrderRef(id=new_id())
    async with database.transaction(request_of(order.CANCEL, body, who)) as tx:
        tx.audit_changes(before={"status": order.OrderStatus.PAID}, after={"status": order.OrderStatus.CANCELLED})
        tx.reply(Empty())
    (entry,) = await entries(database, body.id)
    assert (entry.act, entry.actor.kind, entry.actor.id) == ("order.cancel", "person", who.user_id)
    assert (entry.client, entry.subject) == ("203.0.113.7", str(body.id))
    assert (entry.before, entry.after) == ({"status": "paid"}, {"id": str(body.id), "status": "cancelled"})


async def test_a_rolled_back_action_has_no_entry(database: Database) -> None:
    body = OrderRef(id=new_id())

    async def cancel() -> None:
        async with database.transaction(request_of(order.CANCEL, body)) as tx:
            tx.reply(Empty())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel()
    assert await entries(database, body.id) == []


async def test_a_repeated_request_has_one_entry(database: Database) -> None:
    body, key = OrderRef(id=new_id()), new_id().hex

    async def cancel() -> None:
        async with database.transaction(request_of(order.CANCEL, body, key=key)) as tx:
            tx.reply(Empty())

    await cancel()
    with pytest.raises(AlreadyProcessed):
        await cancel()
    assert len(await entries(database, body.id)) == 1


async def test_a_transaction_that_only_stores_a_reply_has_no_entry(database: Database) -> None:
    request = request_of(order.CANCEL, OrderRef(id=new_id()), key=new_id().hex)
    async with database.transaction() as tx:
        tx.audit_action(request)
    async with database.transaction(request, audited=False) as tx:
        tx.reply(Empty())
    assert len(await entries(database, request.body.id)) == 1


async def test_fifty_concurrent_actions_make_one_chain(database: Database) -> None:
    bodies = [OrderRef(id=new_id()) for _ in range(50)]

    async def cancel(body: OrderRef) -> None:
        async with database.transaction(request_of(order.CANCEL, body)) as tx:
            tx.reply(Empty())

    await asyncio.gather(*map(cancel, bodies))
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM trail ORDER BY seq")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert {row["subject"] for row in rows} >= {str(body.id) for body in bodies}
    chain = HashChain("order")
    assert [wrong for row in rows for wrong in chain.check_next(row)] == []


@pytest.mark.parametrize("statement", ["UPDATE trail SET act = 'x.y'", "DELETE FROM trail", "TRUNCATE trail"])
async def test_entries_cannot_be_changed_or_deleted(kernel: KernelStack, database: Database, statement: str) -> None:
    """Neither by the service nor by a superuser who leaves the trigger enabled."""
    async with database.transaction(request_of(order.CANCEL, OrderRef(id=new_id()))) as tx:
        tx.reply(Empty())
    async with database.connection() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    superuser = await asyncpg.connect(kernel.stack.postgres_url.rpartition("/")[0] + "/souk_order")
    await superuser.execute("SET session_replication_role = replica")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only grows"):
        await superuser.execute(statement)
    await superuser.close()


# Pages, and the published end.


async def test_pages_and_filters(database: Database) -> None:
    who, ids = admin_identity(), [new_id() for _ in range(5)]
    for one in ids:
        async with database.transaction(request_of(order.CANCEL, OrderRef(id=one), who)) as tx:
            tx.reply(Empty())
    seen: list[str] = []
    after = None
    async with database.connection() as connection:
        while True:
            wanted = AUDIT_LOGS["order"].request(actor=who.user_id, act="order.cancel", limit=2, after=after)
            page = await audit_log.read_page(connection, wanted)
            seen += [entry.subject for entry in page.items]
            after = page.next
            if after is None:
                break
        assert seen == [str(one) for one in reversed(ids)]
        other = AUDIT_LOGS["order"].request(actor=who.user_id, act="order.update")
        assert (await audit_log.read_page(connection, other)).items == []
        with pytest.raises(InvalidCursor):
            await audit_log.read_page(connection, AUDIT_LOGS["order"].request(after="WzBd"))


async def test_a_page_is_cut_by_bytes(database: Database) -> None:
    """What one action changes may be large. The next page begins with the first entry that did not fit."""
    subject, text = str(new_id()), "ä" * 150_000
    large = [AuditEntry("order.update", OPERATOR_ACTOR, subject=subject, after={"note": text}) for _ in range(7)]
    async with database.connection() as connection, connection.transaction():
        await audit_log.append_entries(connection, large)
    seen: list[int] = []
    counts: list[int] = []
    after = None
    async with database.connection() as connection:
        while not counts or after is not None:
            wanted = AUDIT_LOGS["order"].request(subject=subject, limit=100, after=after)
            page = await audit_log.read_page(connection, wanted)
            assert len(page.model_dump_json().encode()) <= MAX_REPLY_BYTES
            seen += [entry.seq for entry in page.items]
            counts.append(len(page.items))
            after = page.next
    assert counts == [3, 3, 1]
    assert len(seen) == len(set(seen)) == 7
    assert seen == sorted(seen, reverse=True)


async def test_the_end_is_published_and_administrators_read_the_log(kernel: KernelStack, kernel_client: Client) -> None:
    stores: list[Database] = []

    def build(resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        stores.append(resources.store)
        return ServiceParts(None)

    async with kernel.serve(build), kernel.client("edge") as edge:
        async with stores[0].transaction(request_of(order.CANCEL, OrderRef(id=new_id()))) as tx:
            tx.reply(Empty())
        (last,) = (await RpcCaller(edge)(AUDIT_LOGS["order"], {"limit": 1}, identity=admin_identity())).items

        stream = append_only_stream.AUDIT_ANCHOR_STREAM

        async def is_published() -> bool:
            try:
                message = await kernel_client.jetstream().get_last_msg(stream.name, stream.subject_for("order"))
            except NotFoundError:
                return False
            published = message.headers or {}
            return (published[headers.AUDIT_SEQ], published[headers.AUDIT_HASH]) == (str(last.seq), last.hash)

        assert await eventually(is_published)
