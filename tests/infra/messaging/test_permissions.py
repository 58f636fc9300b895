"""NATS permissions: each user touches what contracts give it, and is refused everything else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client

from contracts.registry import BY_SUBJECT, EVENTS, OPERATIONS, SERVICES
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.permissions import NATS_USERS, permissions_for
from infra.messaging.topology import KV_BUCKETS, OBJECT_BUCKETS, ObjectBucket, consumers_for, stream_configs
from tests.infra.conftest import KernelStack

SOMETHING = UUID("019a0000-0000-7000-8000-000000000000")
ADMINISTRATION = (
    "$JS.API.STREAM.CREATE.ORDER",
    "$JS.API.STREAM.UPDATE.ORDER",
    "$JS.API.STREAM.DELETE.ORDER",
    "$JS.API.STREAM.PURGE.ORDER",
    "$JS.API.STREAM.MSG.GET.ORDER",
    "$JS.API.STREAM.MSG.DELETE.ORDER",
    "$JS.API.CONSUMER.CREATE.ORDER",
    "$JS.API.CONSUMER.CREATE.ORDER.catalog",
    "$JS.API.CONSUMER.DURABLE.CREATE.ORDER.catalog",
    "$JS.API.CONSUMER.DELETE.ORDER.catalog",
    "$JS.API.CONSUMER.DELETE.PAYMENT.order",
    "$SYS.REQ.SERVER.PING",
)
ORDINARY = [name for name in NATS_USERS if name != "operator"]


def publishable() -> dict[str, set[str]]:
    """Every subject there is, and who may publish it. Written by hand from what the architecture says."""
    table: dict[str, set[str]] = {operation.subject: set(operation.callers) for operation in OPERATIONS}
    for service in SERVICES:
        table[f"event.{service}.{SOMETHING}.anything"] = {service}
        table[f"dead.{service}.ORDER"] = {service}
        table[f"wake.{service}"] = {service}
        table[f"deliver.{service}.ORDER"] = set()
        table[f"_INBOX_{service}.x"] = set()
    for stream in stream_configs():
        for service in SERVICES:
            hears = stream.name in {consumer.stream for consumer in consumers_for(service)}
            table[f"$JS.API.CONSUMER.INFO.{stream.name}.{service}"] = {service} if hears else set()
            table[f"$JS.ACK.{stream.name}.{service}.1.1.1.1.0"] = {service} if hears else set()
    for service in SERVICES:
        table[f"trail.{service}"] = {service} if service != "cart" else set()
    for what in ("STREAM.INFO", "STREAM.PURGE", "STREAM.DELETE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET"):
        table[f"$JS.API.{what}.{AUDIT_ANCHOR_STREAM.name}"] = set()
    for bucket in OBJECT_BUCKETS:
        table |= {subject: set(bucket.users) for subject in reading_and_writing(bucket)}
        table[f"$JS.API.STREAM.DELETE.OBJ_{bucket.name}"] = set()
        table[f"$JS.API.STREAM.UPDATE.OBJ_{bucket.name}"] = set()
    for board in KV_BUCKETS:
        table[board.subject_for("x")] = {board.writer}
        table[board.direct_get_subject] = {board.reader}
        table[f"$JS.API.STREAM.PURGE.{board.stream_name}"] = set()
        table[f"$JS.API.STREAM.MSG.GET.{board.stream_name}"] = set()
        table[f"$JS.API.CONSUMER.CREATE.{board.stream_name}"] = set()
    table["counts.edge"] = {"edge"}
    table["$JS.API.STREAM.NAMES"] = set()
    return table | {subject: set() for subject in ADMINISTRATION}


def reading_and_writing(bucket: ObjectBucket) -> tuple[str, ...]:
    """What the client of an object store publishes."""
    stream = f"OBJ_{bucket.name}"
    return (
        f"$O.{bucket.name}.M.x",
        f"$O.{bucket.name}.C.x",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.x",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.x",
        f"$JS.API.CONSUMER.DELETE.{stream}.x",
        f"$JS.FC.{stream}.x",
    )


def subscribable() -> dict[str, set[str]]:
    table: dict[str, set[str]] = {operation.subject: {operation.service} for operation in OPERATIONS}
    table |= {event.subject_pattern(): set() for event in EVENTS}
    for name in ORDINARY:
        table[f"_INBOX_{name}.x"] = {name}
    table |= {board.subject_filter: {board.reader} for board in KV_BUCKETS}
    table["counts.edge"] = {"edge"}
    for service in SERVICES:
        table[f"deliver.{service}.ORDER"] = {service}
        table[f"dead.{service}.ORDER"] = set()
        table[f"wake.{service}"] = {service}
    return table | {key: set() for key in (">", "rpc.>", "event.>", "_INBOX.>", "$JS.EVENT.>", "$SYS.>")}


@asynccontextmanager
async def recording_errors(kernel: KernelStack, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """A connection of a user, and what the server refused it."""
    refused: list[str] = []

    async def complain(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(
        kernel.stack.nats_url, user=user, password=kernel.stack.password(user), error_cb=complain, allow_reconnect=False
    )
    try:
        yield client, refused
    finally:
        await client.close()


def allowed(subjects: list[str], refused: list[str]) -> set[str]:
    return {subject for subject in subjects if not any(f'"{subject.lower()}"' in line.lower() for line in refused)}


async def permitted(client: Client, refused: list[str], subjects: list[str], *, publish: bool) -> set[str]:
    for subject in subjects:
        if publish:
            await client.publish(subject, b"{}", reply="_INBOX.nobody")
        else:
            await client.subscribe(subject)
    await client.flush()
    await asyncio.sleep(0)
    await client.flush()
    return allowed(subjects, refused)


@pytest.mark.parametrize("user", ORDINARY)
@pytest.mark.parametrize(("table", "publish"), [(publishable, True), (subscribable, False)])
async def test_the_whole_table(
    kernel: KernelStack,
    user: str,
    table: Callable[[], dict[str, set[str]]],
    publish: bool,  # noqa: FBT001
) -> None:
    rights = table()
    async with recording_errors(kernel, user) as (client, refused):
        found = await permitted(client, refused, list(rights), publish=publish)
    assert found == {subject for subject, users in rights.items() if user in users}


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject of NATS fits a pattern."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, found = wanted[:-1], found[: len(wanted) - 1] if len(found) >= len(wanted) else []
    return len(wanted) == len(found) and all(w in {"*", f} for w, f in zip(wanted, found, strict=True))


@pytest.mark.parametrize("user", ORDINARY)
def test_every_right_has_its_row(user: str) -> None:
    """A right that nobody has written down above is one too many, or a row too few."""
    rights = permissions_for(user)
    for patterns, table in ((rights.publish, publishable()), (rights.subscribe, subscribable())):
        for pattern in patterns:
            assert any(user in users and covers(pattern, subject) for subject, users in table.items()), pattern


def test_no_service_may_ask_what_trusts_an_identity() -> None:
    for operation in BY_SUBJECT.values():
        assert not (set(operation.callers) & set(SERVICES)) or operation.access == "service"


@pytest.mark.parametrize("credentials", [{}, {"user": "order"}, {"user": "order", "password": "guess"}])
async def test_a_stranger_is_refused(kernel: KernelStack, credentials: dict[str, str]) -> None:
    """Said over the plain protocol: a client library would keep the socket of a refused connection open."""
    port = int(kernel.stack.nats_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = {"verbose": False, "pedantic": False, "lang": "test", "version": "1", "protocol": 1}
    said |= {"pass" if name == "password" else name: value for name, value in credentials.items()}
    writer.write(f"CONNECT {json.dumps(said)}\r\nPING\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"-ERR 'Authorization Violation'" in answer
    assert b"PONG" not in answer
