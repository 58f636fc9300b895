"""What NATS keeps: streams, consumers and object buckets, derived from contracts and set up in one idempotent step.

Services declare nothing. At start each checks that what it listens to is there and as expected: a changed consumer
would otherwise be ignored in silence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_fixed

from contracts.operation import OPERATOR
from contracts.registry import EVENTS, SUBSCRIPTIONS
from contracts.user import ACCESS_TOKEN_TTL_SECONDS
from infra.messaging import connection as messaging
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM

MAX_DELIVER = -1
"""Without an end: whoever hears an event decides when it has failed for good, and keeps it as a dead letter first.

With an end, an event that others' crashes have used up, or one whose acknowledgements were lost, would stay in its
stream and nobody would be told. One that kills its process comes again too, and shows as restarts of the service.
"""
ACK_WAIT_SECONDS = 10.0
RETENTION_DAYS = 90
DUPLICATE_WINDOW_SECONDS = 120.0
DEAD_LETTER_STREAM = "DEAD"
LEADER_TIMEOUT_SECONDS = 30.0
"""Seconds for a cluster that has just started to choose its leaders."""

NOT_CLUSTERED_ERROR_CODE = 10074
NOT_ENOUGH_PEERS_ERROR_CODE = 10005


@dataclass(frozen=True, slots=True)
class Consumer:
    """What one service hears of one stream."""

    service: str
    stream: str
    subjects: tuple[str, ...]

    @property
    def deliver_subject(self) -> str:
        return f"deliver.{self.service}.{self.stream}"


@dataclass(frozen=True, slots=True)
class ObjectBucket:
    """An object store bucket and who may use it."""

    name: str
    users: tuple[str, ...]
    description: str
    retention_days: int = 0
    """How long an object is kept; 0 is for ever."""


OBJECT_BUCKETS = (
    ObjectBucket("UPLOADS", ("edge", "catalog"), "Files on their way from a client to the catalog", retention_days=1),
    ObjectBucket("IMAGES", ("catalog",), "Pictures of products"),
)


@dataclass(frozen=True, slots=True)
class KvBucket:
    """A key-value bucket on which one posts what another has to know at once."""

    name: str
    writer: str
    reader: str
    description: str
    ttl_seconds: float
    """How long a notice stands."""

    @property
    def stream_name(self) -> str:
        return f"KV_{self.name}"

    @property
    def subject_filter(self) -> str:
        return f"$KV.{self.name}.*"

    @property
    def direct_get_subject(self) -> str:
        """Where whichever node has a copy is asked for notices."""
        return f"$JS.API.DIRECT.GET.{self.stream_name}"

    def subject_for(self, key: object) -> str:
        return f"$KV.{self.name}.{key}"


REVOKED_SESSIONS = KvBucket(
    "ENDED", "user", "edge", "Sessions that have ended while an access token may live", ACCESS_TOKEN_TTL_SECONDS + 60
)
KV_BUCKETS = (REVOKED_SESSIONS,)


class NotProvisioned(Exception):  # noqa: N818 - says what to do, and is read by people
    """NATS lacks what this service needs, or has it otherwise: run `souk provision`."""


class NotEnoughNodes(Exception):  # noqa: N818 - says what is asked for and cannot be, and is read by people
    """More copies are asked for than NATS has nodes."""


class NoLeaderYet(Exception):  # noqa: N818 - a state of the cluster, waited out
    """The nodes have not chosen the leader of a stream or consumer yet."""


def stream_name(service: str) -> str:
    return service.upper()


def stream_configs(replicas: int = 1) -> list[StreamConfig]:
    """One stream an event-saying service, and the dead letters."""
    owners = sorted({event.service for event in EVENTS})
    return [
        *(
            _stream_config(stream_name(owner), f"event.{owner}.>", f"What {owner} says happened", replicas)
            for owner in owners
        ),
        _stream_config(DEAD_LETTER_STREAM, "dead.>", "Events that could not be handled", replicas),
    ]


def _stream_config(name: str, subject: str, description: str, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=name,
        description=description,
        subjects=[subject],
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_age=RETENTION_DAYS * 86_400,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        allow_direct=True,
        deny_delete=False,
    )


def consumers_for(service: str) -> list[Consumer]:
    heard = SUBSCRIPTIONS.get(service, ())
    owners = sorted({event.service for event in heard})
    return [
        Consumer(
            service, stream_name(owner), tuple(event.subject_pattern() for event in heard if event.service == owner)
        )
        for owner in owners
    ]


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """Pushed to whichever replica is free; acknowledged one by one; what fails comes back."""
    return ConsumerConfig(
        durable_name=consumer.service,
        description=f"What {consumer.service} hears of {consumer.stream}",
        filter_subjects=list(consumer.subjects),
        deliver_subject=consumer.deliver_subject,
        deliver_group=consumer.service,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=MAX_DELIVER,
        max_ack_pending=1000,
    )


async def provision(url: str, password: str, *, replicas: int = 1) -> list[str]:
    """Makes NATS as contracts say, as the operator. Says what it made or changed; a second run changes nothing.

    Returns when every stream and consumer has a leader. Raises `TooFewNodes` when there are fewer nodes than replicas.
    """
    async with messaging.connect(url, OPERATOR, password, allow_reconnect=False) as client:
        done: list[str] = []
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_is_electing),
            wait=wait_fixed(0.1),
            stop=stop_after_delay(LEADER_TIMEOUT_SECONDS),
            reraise=True,
        ):
            with attempt:
                await _provision(client.jetstream(), replicas, done)
        return done


def _is_electing(error: BaseException) -> bool:
    """Whether a cluster has no leader for this at the moment: it answers 503, that it is not current, or nothing."""
    return isinstance(error, ServiceUnavailableError | NatsTimeoutError | NoLeaderYet)


async def _provision(js: JetStreamContext, replicas: int, done: list[str]) -> None:
    """What is there already stays: this may be tried again in the middle."""
    for stream in stream_configs(replicas):
        done += await _ensure_stream(js, stream)
    for service in SUBSCRIPTIONS:
        for consumer in consumers_for(service):
            done += await _ensure_consumer(js, consumer)
    for bucket in OBJECT_BUCKETS:
        done += await _ensure_object_bucket(js, bucket, replicas)
    for board in KV_BUCKETS:
        done += await _ensure_kv_bucket(js, board, replicas)
    done += await _ensure_stream(js, AUDIT_ANCHOR_STREAM.stream_config(replicas, DUPLICATE_WINDOW_SECONDS))
    kept = [
        *(f"OBJ_{bucket.name}" for bucket in OBJECT_BUCKETS),
        *(board.stream_name for board in KV_BUCKETS),
        AUDIT_ANCHOR_STREAM.name,
    ]
    for name in [*(stream.name for stream in stream_configs()), *kept]:
        _require_leader(await js.stream_info(str(name)))
    for service in SUBSCRIPTIONS:
        for consumer in consumers_for(service):
            _require_leader(await js.consumer_info(consumer.stream, service))


def _require_leader(found: StreamInfo | ConsumerInfo) -> None:
    if found.cluster and not found.cluster.leader:
        raise NoLeaderYet


async def _ensure_stream(js: JetStreamContext, wanted: StreamConfig) -> list[str]:
    assert wanted.name
    try:
        found = (await js.stream_info(wanted.name)).config
    except NotFoundError:
        with _translate_node_errors(wanted):
            await js.add_stream(wanted)
        return [f"stream {wanted.name} made"]
    same = ("subjects", "num_replicas", "max_age", "duplicate_window", "description")
    if all(getattr(found, name) == getattr(wanted, name) for name in same):
        return []
    with _translate_node_errors(wanted):
        await js.update_stream(wanted)
    return [f"stream {wanted.name} changed"]


@contextmanager
def _translate_node_errors(wanted: StreamConfig) -> Iterator[None]:
    """Says in plain words that NATS has not so many nodes: alone (10074), or in a cluster that is too small (10005)."""
    try:
        yield
    except APIError as error:
        if error.err_code in {NOT_CLUSTERED_ERROR_CODE, NOT_ENOUGH_PEERS_ERROR_CODE} and (wanted.num_replicas or 1) > 1:
            message = f"NATS has too few nodes to keep {wanted.num_replicas} copies of {wanted.name}."
            raise NotEnoughNodes(message) from error
        raise


async def _ensure_consumer(js: JetStreamContext, consumer: Consumer) -> list[str]:
    wanted = consumer_config(consumer)
    name = f"consumer {consumer.service} of {consumer.stream}"
    try:
        found = (await js.consumer_info(consumer.stream, consumer.service)).config
    except NotFoundError:
        await js.add_consumer(consumer.stream, wanted)
        return [f"{name} made"]
    if not differing_settings(found, wanted):
        return []
    await js.add_consumer(consumer.stream, wanted)
    return [f"{name} changed"]


async def _ensure_object_bucket(js: JetStreamContext, bucket: ObjectBucket, replicas: int) -> list[str]:
    try:
        found = (await js.stream_info(f"OBJ_{bucket.name}")).config
    except NotFoundError:
        await js.create_object_store(
            bucket.name,
            ObjectStoreConfig(
                description=bucket.description, ttl=bucket.retention_days * 86_400 or None, replicas=replicas
            ),
        )
        return [f"bucket {bucket.name} made"]
    if found.num_replicas == replicas:
        return []
    wanted = found.evolve(num_replicas=replicas)
    with _translate_node_errors(wanted):
        await js.update_stream(wanted)
    return [f"bucket {bucket.name} changed"]


async def _ensure_kv_bucket(js: JetStreamContext, board: KvBucket, replicas: int) -> list[str]:
    try:
        found = (await js.stream_info(board.stream_name)).config
    except NotFoundError:
        config = KeyValueConfig(
            board.name, description=board.description, ttl=board.ttl_seconds, replicas=replicas, direct=True
        )
        await js.create_key_value(config)
        return [f"board {board.name} made"]
    if (found.num_replicas, found.max_age) == (replicas, board.ttl_seconds):
        return []
    with _translate_node_errors(found):
        await js.update_stream(found.evolve(num_replicas=replicas, max_age=board.ttl_seconds))
    return [f"board {board.name} changed"]


def differing_settings(found: ConsumerConfig, wanted: ConsumerConfig) -> list[str]:
    """The names of the settings in which a consumer is not what it should be."""
    names = ("deliver_subject", "deliver_group", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")
    differing = [name for name in names if getattr(found, name) != getattr(wanted, name)]
    filters = sorted(found.filter_subjects or ([found.filter_subject] if found.filter_subject else []))
    if filters != sorted(wanted.filter_subjects or []):
        differing.append("filter_subjects")
    return differing


async def require_provisioned(client: Client, service: str) -> None:
    """Raises `NotProvisioned` unless every consumer of the service is there and as expected."""
    js = client.jetstream(timeout=3)
    for consumer in consumers_for(service):
        try:
            found = (await js.consumer_info(consumer.stream, service)).config
        except NotFoundError as error:
            message = f"consumer {service} of stream {consumer.stream} is missing; run `souk provision`"
            raise NotProvisioned(message) from error
        if differing := differing_settings(found, consumer_config(consumer)):
            message = f"consumer {service} of stream {consumer.stream} differs in {differing}; run `souk provision`"
            raise NotProvisioned(message)
