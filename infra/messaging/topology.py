"""The NATS topology: streams, consumers and buckets, derived from the contracts.

Services declare nothing. At its start each service checks that its consumers exist and have the expected settings;
otherwise NATS would silently ignore a changed consumer.
"""

from dataclasses import dataclass
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from contracts.operation import EDGE
from contracts.order import TICKET_SECONDS
from contracts.registry import EVENTS, SUBSCRIPTIONS
from contracts.user import ACCESS_TOKEN_TTL_SECONDS

MAX_DELIVER = -1
"""Unlimited: the consuming service decides when an event has failed for good, and stores a dead letter first.

With a limit, an event would silently stay in its stream after crashes had used up its deliveries, or after lost
acknowledgements. An event that kills its process is redelivered too; it shows as restarts of the service.
"""
ACK_WAIT_SECONDS = 10.0
RETENTION_DAYS = 90
DUPLICATE_WINDOW_SECONDS = 120.0
DEAD_LETTER_STREAM = "DEAD"


@dataclass(frozen=True, slots=True)
class Consumer:
    """The subscription of one service to one stream."""

    service: str
    stream: str
    subjects: tuple[str, ...]

    @property
    def deliver_subject(self) -> str:
        """The subject to which NATS pushes the events."""
        return f"deliver.{self.service}.{self.stream}"

    def has_delivered(self, message: Msg) -> bool:
        """Whether this consumer has delivered a message: only the server can make the reply subject that says so.

        Other messages reach the deliver subject too. Whoever requests a stored message chooses where the reply goes.
        """
        delivery = parse_delivery(message.reply)
        return delivery is not None and (delivery.stream, delivery.consumer) == (self.stream, self.service)


class Delivery(NamedTuple):
    """What the reply subject of an event says: the consumer that delivered it, and its number in the stream."""

    stream: str
    consumer: str
    sequence: int


def parse_delivery(reply: str) -> Delivery | None:
    """Parses the reply subject of an event, which only the server can make; None if it is another subject.

    The subject has 9 tokens, or at least 11 from a server with a JetStream domain. nats-py also parses the time, which
    costs five times as much.
    """
    tokens = reply.split(".")
    if tokens[:2] != ["$JS", "ACK"]:
        return None
    if len(tokens) == 9:  # noqa: PLR2004 - $JS.ACK.stream.consumer.deliveries.sequence.consumer_sequence.time.pending
        return Delivery(tokens[2], tokens[3], int(tokens[5]))
    if len(tokens) >= 11:  # noqa: PLR2004 - domain and account stand before the stream
        return Delivery(tokens[4], tokens[5], int(tokens[7]))
    return None


@dataclass(frozen=True, slots=True)
class ObjectBucket:
    """An object store bucket and the NATS users that may use it."""

    name: str
    users: tuple[str, ...]
    description: str
    retention_days: int = 0
    """Days that an object is kept; 0 means forever."""


UPLOADS, IMAGES, INVOICES = "UPLOADS", "IMAGES", "INVOICES"
OBJECT_BUCKETS = (
    ObjectBucket(
        UPLOADS,
        ("edge", "catalog"),
        "Files uploaded by clients, until the catalog has processed them",
        retention_days=1,
    ),
    ObjectBucket(IMAGES, ("catalog",), "Product images"),
    ObjectBucket(INVOICES, ("order",), "Invoices and credit notes, kept for ever"),
)


@dataclass(frozen=True, slots=True)
class KvBucket:
    """A key-value bucket with one writer and at most one reader, which sees new entries at once."""

    name: str
    writer: str
    reader: str
    """Empty if the writer alone uses it: storing an entry fails if there is one."""
    description: str
    ttl_seconds: float
    """Seconds that an entry is kept."""

    @property
    def stream_name(self) -> str:
        """The stream behind the bucket."""
        return f"KV_{self.name}"

    @property
    def subject_filter(self) -> str:
        """The subjects of all entries."""
        return f"$KV.{self.name}.*"

    @property
    def direct_get_subject(self) -> str:
        """The subject for reading entries from any node that has a replica."""
        return f"$JS.API.DIRECT.GET.{self.stream_name}"

    def subject_for(self, key: object) -> str:
        """Returns the subject of one entry."""
        return f"$KV.{self.name}.{key}"


REVOKED_SESSIONS = KvBucket(
    "ENDED",
    "user",
    "edge",
    "Sessions revoked while their access tokens may still be valid",
    ACCESS_TOKEN_TTL_SECONDS + 60,
)
USED_TICKETS = KvBucket(
    "TICKETS", "order", "", "Tickets for event streams that were used, until they have expired", 2 * TICKET_SECONDS
)
KV_BUCKETS = (REVOKED_SESSIONS, USED_TICKETS)


class NotProvisioned(Exception):  # noqa: N818 - its message is shown to the operator
    """NATS lacks a consumer of this service, or the consumer has other settings; `souk provision` corrects it."""


def stream_name(service: str) -> str:
    """Returns the name of the stream with the events of a service."""
    return service.upper()


def event_stream_names() -> tuple[str, ...]:
    """Returns the names of the streams that hold events, one for each service that publishes any."""
    return tuple(stream_name(owner) for owner in sorted({event.service for event in EVENTS}))


def streams_read_by(user: str) -> tuple[str, ...]:
    """Returns the streams that a NATS user reads directly, without a consumer.

    The edge follows orders for their customers, and notification answers the feed of events.
    """
    return {EDGE: (stream_name("order"),), "notification": event_stream_names()}.get(user, ())


def direct_get_subject(stream: str) -> str:
    """Returns the subject for reading messages of a stream from any node that has a replica."""
    return f"$JS.API.DIRECT.GET.{stream}"


def event_subjects(service: str, aggregate: object = "*") -> str:
    """Returns the subjects of a service's events, all of them or those of one aggregate."""
    return f"event.{service}.{aggregate}.*"


def stream_configs(replicas: int = 1) -> list[StreamConfig]:
    """Returns one stream for each service that publishes events, and the stream of dead letters."""
    owners = sorted({event.service for event in EVENTS})
    return [
        *(
            _stream_config(stream_name(owner), f"event.{owner}.>", f"Events of the {owner} service", replicas)
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
    """Returns the consumers of a service: one for each stream that it subscribes to."""
    events = SUBSCRIPTIONS.get(service, ())
    owners = sorted({event.service for event in events})
    return [
        Consumer(
            service, stream_name(owner), tuple(event.subject_pattern() for event in events if event.service == owner)
        )
        for owner in owners
    ]


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """Returns a push consumer whose events the replicas of the service share and acknowledge one by one."""
    return ConsumerConfig(
        durable_name=consumer.service,
        description=f"Subscription of the {consumer.service} service to {consumer.stream}",
        filter_subjects=list(consumer.subjects),
        deliver_subject=consumer.deliver_subject,
        deliver_group=consumer.service,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_deliver=MAX_DELIVER,
        max_ack_pending=1000,
    )


def differing_settings(current: ConsumerConfig, desired: ConsumerConfig) -> list[str]:
    """Returns the names of the settings in which a consumer differs from the desired one."""
    names = ("deliver_subject", "deliver_group", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")
    differing = [name for name in names if getattr(current, name) != getattr(desired, name)]
    filters = sorted(current.filter_subjects or ([current.filter_subject] if current.filter_subject else []))
    if filters != sorted(desired.filter_subjects or []):
        differing.append("filter_subjects")
    return differing


async def require_provisioned(client: Client, service: str) -> None:
    """Raises `NotProvisioned` unless every consumer of the service exists with the expected settings."""
    js = client.jetstream(timeout=3)
    for consumer in consumers_for(service):
        try:
            current = (await js.consumer_info(consumer.stream, service)).config
        except NotFoundError as error:
            message = f"consumer {service} of stream {consumer.stream} is missing; run `souk provision`"
            raise NotProvisioned(message) from error
        if differing := differing_settings(current, consumer_config(consumer)):
            message = f"consumer {service} of stream {consumer.stream} differs in {differing}; run `souk provision`"
            raise NotProvisioned(message)
