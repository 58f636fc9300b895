"""NATS permissions: each user may use what the contracts allow, and is refused everything else."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import nats
import pytest
from nats.aio.client import Client

from contracts.registry import BY_SUBJECT, EVENTS, OPERATIONS, SERVICES, SUBSCRIPTIONS
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.permissions import NATS_USERS, permissions_for
from infra.messaging.topology import KV_BUCKETS, OBJECT_BUCKETS, ObjectBucket, consumers_for, stream_configs
from tests.infra.conftest import KernelStack

AGGREGATE_ID = UUID("019a0000-0000-7000-8000-000000000000")
ADMIN_SUBJECTS = (
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
USERS = [name for name in NATS_USERS if name != "operator"]


def publishable() -> dict[str, set[str]]:
    """Returns every subject and the users that may publish to it, written by hand from the architecture."""
    table: dict[str, set[str]] = {operation.subject: set(operation.callers) for operation in OPERATIONS}
    for service in SERVICES:
        table[f"event.{service}.{AGGREGATE_ID}.anything"] = {service}
        table[f"dead.{service}.ORDER"] = {service}
        table[f"wake.{service}"] = {service}
        table[f"deliver.{service}.ORDER"] = set()
        table[f"_INBOX_{service}.x"] = set()
    for stream in stream_configs():
        for service in SERVICES:
            is_subscribed = stream.name in {consumer.stream for consumer in consumers_for(service)}
            table[f"$JS.API.CONSUMER.INFO.{stream.name}.{service}"] = {service} if is_subscribed else set()
            table[f"$JS.ACK.{stream.name}.{service}.1.1.1.1.0"] = {service} if is_subscribed else set()
    for service in SERVICES:
        table[f"trail.{service}"] = {service} if service != "cart" else set()
    for what in ("STREAM.INFO", "STREAM.PURGE", "STREAM.DELETE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "DIRECT.GET"):
        table[f"$JS.API.{what}.{AUDIT_ANCHOR_STREAM.name}"] = set()
    for bucket in OBJECT_BUCKETS:
        table |= {subject: set(bucket.users) for subject in reading_and_writing(bucket)}
        table[f"$JS.API.STREAM.DELETE.OBJ_{bucket.name}"] = set()
        table[f"$JS.API.STREAM.UPDATE.OBJ_{bucket.name}"] = set()
    for kv_bucket in KV_BUCKETS:
        table[kv_bucket.subject_for("x")] = {kv_bucket.writer}
        table[kv_bucket.direct_get_subject] = {kv_bucket.reader}
        table[f"$JS.API.STREAM.PURGE.{kv_bucket.stream_name}"] = set()
        table[f"$JS.API.STREAM.MSG.GET.{kv_bucket.stream_name}"] = set()
    for stream in stream_configs():
        table[f"$JS.API.DIRECT.GET.{stream.name}"] = {"notification"} if stream.name != "DEAD" else set()
        table[f"$JS.API.DIRECT.GET.{stream.name}.event.order.x.paid"] = set()
    table["$JS.API.DIRECT.GET.ORDER"] = {"edge", "notification"}
    table["counts.edge"] = {"edge"}
    table["$JS.API.STREAM.INFO.DEAD"] = {service for service, events in SUBSCRIPTIONS.items() if events}
    streams = [*(str(stream.name) for stream in stream_configs()), *(f"OBJ_{bucket.name}" for bucket in OBJECT_BUCKETS)]
    streams += [*(bucket.stream_name for bucket in KV_BUCKETS), AUDIT_ANCHOR_STREAM.name]
    table |= {subject: set() for stream in streams for subject in consumer_requests(stream)}
    table["$JS.API.STREAM.NAMES"] = set()
    table["$SRV.PING"] = table["$SRV.STATS.order"] = set()
    table["mirror.warehouse.ORDER.x"] = set()
    table["$JS.READER.warehouse.API.CONSUMER.CREATE.ORDER"] = set()
    return table | {subject: set() for subject in ADMIN_SUBJECTS}


def reading_and_writing(bucket: ObjectBucket) -> tuple[str, ...]:
    """Returns the subjects to which the client of an object store publishes."""
    stream = f"OBJ_{bucket.name}"
    return (
        f"$O.{bucket.name}.M.x",
        f"$O.{bucket.name}.C.x",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.x",
    )


def consumer_requests(stream: str) -> tuple[str, ...]:
    """Returns the subjects by which a client creates, changes, pulls from or deletes a consumer."""
    return (
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.x",
        f"$JS.API.CONSUMER.CREATE.{stream}.x.event.order.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.x",
        f"$JS.API.CONSUMER.DELETE.{stream}.x",
        f"$JS.API.CONSUMER.PAUSE.{stream}.x",
        f"$JS.API.CONSUMER.RESET.{stream}.x",
        f"$JS.API.CONSUMER.MSG.NEXT.{stream}.x",
        f"$JS.FC.{stream}.x.y",
    )


def subscribable() -> dict[str, set[str]]:
    """Returns every subject and the users that may subscribe to it."""
    table: dict[str, set[str]] = {operation.subject: {operation.service} for operation in OPERATIONS}
    table |= {event.subject_pattern(): {"edge"} if event.service == "order" else set() for event in EVENTS}
    table["event.order.*.*"] = {"edge"}
    for name in USERS:
        table[f"_INBOX_{name}.x"] = {name}
    table |= {bucket.subject_filter: {bucket.reader} for bucket in KV_BUCKETS}
    table["counts.edge"] = {"edge"}
    for service in SERVICES:
        table[f"deliver.{service}.ORDER"] = {service}
        table[f"dead.{service}.ORDER"] = set()
        table[f"wake.{service}"] = {service}
        for verb in ("PING", "INFO", "STATS"):
            table[f"$SRV.{verb}"] = set(SERVICES)
            table[f"$SRV.{verb}.{service}"] = table[f"$SRV.{verb}.{service}.x"] = {service}
    closed = (">", "$SRV.>", "$SRV.PING.*", "rpc.>", "event.>", "mirror.>", "_INBOX.>", "$JS.EVENT.>", "$SYS.>")
    return table | {key: set() for key in closed}


@asynccontextmanager
async def recording_errors(kernel: KernelStack, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Connects as a user, and collects the permission errors of the server."""
    refused: list[str] = []

    async def record(error: Exception) -> None:
        refused.append(str(error))

    client = await nats.connect(
        kernel.stack.nats_url,
        user=user,
        password=kernel.stack.nats_password(user),
        error_cb=record,
        allow_reconnect=False,
    )
    try:
        yield client, refused
    finally:
        await client.close()


def without_refused(subjects: list[str], refused: list[str]) -> set[str]:
    """Returns the subjects that no permission error names."""
    return {subject for subject in subjects if not any(f'"{subject.lower()}"' in line.lower() for line in refused)}


async def permitted(client: Client, refused: list[str], subjects: list[str], *, publish: bool) -> set[str]:
    """Returns the subjects that the server lets a user publish or subscribe to."""
    for subject in subjects:
        if publish:
            await client.publish(subject, b"{}", reply="_INBOX.test")
        else:
            await client.subscribe(subject)
    await client.flush()
    await asyncio.sleep(0)
    await client.flush()
    return without_refused(subjects, refused)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(("table", "publish"), [(publishable, True), (subscribable, False)])
async def test_permissions_match_the_table(
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
    """Whether a NATS subject matches a pattern."""
    expected, tokens = pattern.split("."), subject.split(".")
    if expected[-1] == ">":
        expected, tokens = expected[:-1], tokens[: len(expected) - 1] if len(tokens) >= len(expected) else []
    return len(expected) == len(tokens) and all(e in {"*", t} for e, t in zip(expected, tokens, strict=True))


@pytest.mark.parametrize("user", USERS)
def test_every_permission_is_in_the_table(user: str) -> None:
    """A permission without a row is one too many, or a row is missing."""
    rights = permissions_for(user)
    for patterns, table in ((rights.publish, publishable()), (rights.subscribe, subscribable())):
        for pattern in patterns:
            assert any(user in users and covers(pattern, subject) for subject, users in table.items()), pattern


def test_services_may_not_request_operations_that_trust_an_identity() -> None:
    for operation in BY_SUBJECT.values():
        assert not (set(operation.callers) & set(SERVICES)) or operation.access == "service"


@pytest.mark.parametrize("credentials", [{}, {"user": "order"}, {"user": "order", "password": "guess"}])
async def test_unknown_user_is_refused(kernel: KernelStack, credentials: dict[str, str]) -> None:
    """Uses the plain protocol, since nats-py would leave the socket of a refused connection open."""
    port = int(kernel.stack.nats_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    options = {"verbose": False, "pedantic": False, "lang": "test", "version": "1", "protocol": 1}
    options |= {"pass" if name == "password" else name: value for name, value in credentials.items()}
    writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert b"-ERR 'Authorization Violation'" in reply
    assert b"PONG" not in reply
