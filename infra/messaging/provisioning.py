"""Provisioning of NATS: one idempotent step creates and updates the streams, consumers and buckets of the topology.

It also creates the mirrors in the accounts of external readers.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, KeyValueConfig, ObjectStoreConfig, StreamConfig, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from tenacity import AsyncRetrying, retry_if_exception, retry_if_exception_type, stop_after_delay, wait_fixed

from contracts.operation import OPERATOR
from contracts.registry import SUBSCRIPTIONS
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.connection import connect, server_urls
from infra.messaging.nats_accounts import mirror_configs, reader_api_prefix
from infra.messaging.topology import (
    DUPLICATE_WINDOW_SECONDS,
    KV_BUCKETS,
    OBJECT_BUCKETS,
    Consumer,
    KvBucket,
    ObjectBucket,
    consumer_config,
    consumers_for,
    differing_settings,
    stream_configs,
)

LEADER_TIMEOUT_SECONDS = 30.0
"""Seconds to wait for a cluster that has just started to elect its leaders."""
ACCOUNT_TIMEOUT_SECONDS = 10.0
"""Seconds to wait for a node to read the account of a new reader."""

NOT_CLUSTERED_ERROR_CODE = 10074
NOT_ENOUGH_PEERS_ERROR_CODE = 10005


class NotEnoughNodes(Exception):  # noqa: N818 - its message is shown to the operator
    """NATS has fewer nodes than the requested number of replicas."""


class NoLeaderYet(Exception):  # noqa: N818 - a temporary state, not an error
    """The nodes have not elected the leader of a stream or consumer yet."""


class ReaderNotConfigured(Exception):  # noqa: N818 - its message is shown to the operator
    """A server does not accept a reader: its account is missing in the configuration of the server."""


async def provision(
    url: str, password: str, *, replicas: int = 1, readers: Mapping[str, str] | None = None
) -> list[str]:
    """Creates and updates everything that the contracts need on NATS, as the operator.

    `readers` are the names and passwords of external readers, whose accounts get mirrors of the event streams.

    Returns the changes made, once every stream and consumer has a leader; a second run makes none. Raises
    `NotEnoughNodes` if NATS has fewer nodes than `replicas`, and `ReaderNotConfigured` if a node refuses a reader.
    """
    for reader, reader_password in (readers or {}).items():
        await _wait_for_account(url, reader, reader_password)
    async with connect(url, OPERATOR, password, allow_reconnect=False) as client:
        changes: list[str] = []
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_electing),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(LEADER_TIMEOUT_SECONDS),
            reraise=True,
        ):
            with attempt:
                await _provision(client.jetstream(), replicas, changes)
                await _require_leaders(client.jetstream())
                for reader in readers or {}:
                    await _provision_reader(
                        client.jetstream(prefix=reader_api_prefix(reader)), reader, replicas, changes
                    )
        return changes


async def remove_mirrors(url: str, password: str, reader: str) -> None:
    """Deletes what the account of a reader stores. Without streams NATS forgets its consumers too."""
    async with connect(url, OPERATOR, password, allow_reconnect=False) as client:
        js = client.jetstream(prefix=reader_api_prefix(reader))
        for mirror in mirror_configs(reader):
            try:
                await js.delete_stream(str(mirror.name))
            except (NotFoundError, ServiceUnavailableError):
                continue


async def _wait_for_account(url: str, reader: str, password: str) -> None:
    """Waits until every node has read the account of a reader: a node without it would leave out the mirrors."""
    for node in server_urls(url):
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type((NatsError, OSError)),
                wait=wait_fixed(0.1),
                stop=stop_after_delay(ACCOUNT_TIMEOUT_SECONDS),
                reraise=True,
            ):
                with attempt:
                    async with connect(node, reader, password, allow_reconnect=False):
                        pass
        except (NatsError, OSError) as error:
            raise ReaderNotConfigured(f"NATS does not accept the reader {reader}; add its account first.") from error


async def _provision_reader(js: JetStreamContext, reader: str, replicas: int, changes: list[str]) -> None:
    for mirror in mirror_configs(reader, replicas):
        changes += [f"{change} for {reader}" for change in await _ensure_stream(js, mirror)]
        _require_leader(await js.stream_info(str(mirror.name)))


def _is_electing(error: BaseException) -> bool:
    """Whether the cluster is electing a leader: it then replies with 503, or not at all."""
    return isinstance(error, ServiceUnavailableError | NatsTimeoutError | NoLeaderYet)


async def _provision(js: JetStreamContext, replicas: int, changes: list[str]) -> None:
    """Creates what is missing. It keeps what exists, so it can be retried after a partial run."""
    for stream in stream_configs(replicas):
        changes += await _ensure_stream(js, stream)
    for service in SUBSCRIPTIONS:
        for consumer in consumers_for(service):
            changes += await _ensure_consumer(js, consumer)
    for bucket in OBJECT_BUCKETS:
        changes += await _ensure_object_bucket(js, bucket, replicas)
    for kv_bucket in KV_BUCKETS:
        changes += await _ensure_kv_bucket(js, kv_bucket, replicas)
    changes += await _ensure_stream(js, AUDIT_ANCHOR_STREAM.stream_config(replicas, DUPLICATE_WINDOW_SECONDS))


async def _require_leaders(js: JetStreamContext) -> None:
    streams = [
        *(str(stream.name) for stream in stream_configs()),
        *(f"OBJ_{bucket.name}" for bucket in OBJECT_BUCKETS),
        *(kv_bucket.stream_name for kv_bucket in KV_BUCKETS),
        AUDIT_ANCHOR_STREAM.name,
    ]
    for name in streams:
        _require_leader(await js.stream_info(name))
    for service in SUBSCRIPTIONS:
        for consumer in consumers_for(service):
            _require_leader(await js.consumer_info(consumer.stream, service))


def _require_leader(current: StreamInfo | ConsumerInfo) -> None:
    if current.cluster and not current.cluster.leader:
        raise NoLeaderYet


async def _ensure_stream(js: JetStreamContext, desired: StreamConfig) -> list[str]:
    assert desired.name
    try:
        current = (await js.stream_info(desired.name)).config
    except NotFoundError:
        with _translate_node_errors(desired):
            await js.add_stream(desired)
        return [f"stream {desired.name} created"]
    same = ("subjects", "num_replicas", "max_age", "duplicate_window", "description")
    if all(getattr(current, name) == getattr(desired, name) for name in same):
        return []
    with _translate_node_errors(desired):
        await js.update_stream(desired)
    return [f"stream {desired.name} updated"]


@contextmanager
def _translate_node_errors(desired: StreamConfig) -> Iterator[None]:
    """Raises `NotEnoughNodes` where NATS refuses the replicas: it has one node (10074) or too few (10005)."""
    try:
        yield
    except APIError as error:
        if (
            error.err_code in {NOT_CLUSTERED_ERROR_CODE, NOT_ENOUGH_PEERS_ERROR_CODE}
            and (desired.num_replicas or 1) > 1
        ):
            message = f"NATS has too few nodes for {desired.num_replicas} replicas of {desired.name}."
            raise NotEnoughNodes(message) from error
        raise


async def _ensure_consumer(js: JetStreamContext, consumer: Consumer) -> list[str]:
    desired = consumer_config(consumer)
    name = f"consumer {consumer.service} of {consumer.stream}"
    try:
        current = (await js.consumer_info(consumer.stream, consumer.service)).config
    except NotFoundError:
        await js.add_consumer(consumer.stream, desired)
        return [f"{name} created"]
    if not differing_settings(current, desired):
        return []
    await js.add_consumer(consumer.stream, desired)
    return [f"{name} updated"]


async def _ensure_object_bucket(js: JetStreamContext, bucket: ObjectBucket, replicas: int) -> list[str]:
    try:
        current = (await js.stream_info(f"OBJ_{bucket.name}")).config
    except NotFoundError:
        await js.create_object_store(
            bucket.name,
            ObjectStoreConfig(
                description=bucket.description, ttl=bucket.retention_days * 86_400 or None, replicas=replicas
            ),
        )
        return [f"bucket {bucket.name} created"]
    if current.num_replicas == replicas:
        return []
    desired = current.evolve(num_replicas=replicas)
    with _translate_node_errors(desired):
        await js.update_stream(desired)
    return [f"bucket {bucket.name} updated"]


async def _ensure_kv_bucket(js: JetStreamContext, bucket: KvBucket, replicas: int) -> list[str]:
    try:
        current = (await js.stream_info(bucket.stream_name)).config
    except NotFoundError:
        config = KeyValueConfig(
            bucket.name, description=bucket.description, ttl=bucket.ttl_seconds, replicas=replicas, direct=True
        )
        await js.create_key_value(config)
        return [f"bucket {bucket.name} created"]
    if (current.num_replicas, current.max_age) == (replicas, bucket.ttl_seconds):
        return []
    desired = current.evolve(num_replicas=replicas, max_age=bucket.ttl_seconds)
    with _translate_node_errors(desired):
        await js.update_stream(desired)
    return [f"bucket {bucket.name} updated"]
