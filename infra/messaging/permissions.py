"""The NATS users and their permissions, derived from the contracts.

A service may use its own subjects, and may send requests only for operations whose contract lists it as a caller.
"""

from collections.abc import Sequence

from contracts.operation import EDGE, OPERATOR
from contracts.registry import SERVICES, operations_for
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.topology import (
    DEAD_LETTER_STREAM,
    KV_BUCKETS,
    OBJECT_BUCKETS,
    KvBucket,
    consumers_for,
    direct_get_subject,
    event_subjects,
    streams_read_by,
)

NATS_USERS: tuple[str, ...] = (*SERVICES, EDGE, OPERATOR)
RATE_LIMIT_SUBJECT = f"counts.{EDGE}"
"""The subject on which edges exchange their request counts."""

MICRO_VERBS = ("PING", "INFO", "STATS")
"""The requests of NATS micro (ADR-32)."""


class Permissions:
    """The subjects that a user may publish and subscribe to, and whether it may reply to requests."""

    def __init__(self, publish: Sequence[str], subscribe: Sequence[str], *, may_reply: bool = False) -> None:
        self.publish = tuple(publish)
        self.subscribe = tuple(subscribe)
        self.may_reply = may_reply


def permissions_for(user: str) -> Permissions:
    """Returns the permissions of one of `NATS_USERS`."""
    if user == OPERATOR:
        return Permissions([">"], [">"], may_reply=True)
    buckets = [
        subject for bucket in OBJECT_BUCKETS if user in bucket.users for subject in _object_bucket_subjects(bucket.name)
    ]
    kv_buckets = [subject for bucket in KV_BUCKETS for subject in _kv_bucket_subjects(bucket, user)]
    reads = [direct_get_subject(stream) for stream in streams_read_by(user)]
    requests = [operation.subject for operation in operations_for(user)]
    if user == EDGE:
        watched = [bucket.subject_filter for bucket in KV_BUCKETS if bucket.reader == user]
        return Permissions(
            [*requests, *buckets, *kv_buckets, *reads, RATE_LIMIT_SUBJECT],
            [f"_INBOX_{user}.>", RATE_LIMIT_SUBJECT, *watched, event_subjects("order")],
        )
    consumers = [
        subject
        for consumer in consumers_for(user)
        for subject in (
            f"$JS.API.CONSUMER.INFO.{consumer.stream}.{user}",
            f"$JS.ACK.{consumer.stream}.{user}.>",
        )
    ]
    dead_letter_counts = [f"$JS.API.STREAM.INFO.{DEAD_LETTER_STREAM}"] if consumers else []
    anchors = [AUDIT_ANCHOR_STREAM.subject_for(user)] if user in AUDIT_ANCHOR_STREAM.writers else []
    return Permissions(
        [
            *requests,
            f"event.{user}.>",
            f"dead.{user}.>",
            f"wake.{user}",
            *consumers,
            *dead_letter_counts,
            *buckets,
            *kv_buckets,
            *reads,
            *anchors,
        ],
        [f"rpc.{user}.*", f"deliver.{user}.*", f"wake.{user}", f"_INBOX_{user}.>", *micro_subjects(user)],
        may_reply=True,
    )


def micro_subjects(service: str) -> tuple[str, ...]:
    """Returns the subjects of NATS micro requests to all services, to one service, and to one of its processes."""
    return tuple(
        subject
        for verb in MICRO_VERBS
        for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{service}", f"$SRV.{verb}.{service}.*")
    )


def _object_bucket_subjects(name: str) -> list[str]:
    """Returns the subjects to which the client of an object store bucket publishes.

    It reads by direct get: a permission to create consumers would let it choose any subject for their messages.
    """
    stream = f"OBJ_{name}"
    return [
        f"$O.{name}.>",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
    ]


def _kv_bucket_subjects(bucket: KvBucket, user: str) -> list[str]:
    """Returns the subjects to which a bucket's writer and reader publish: entries, and requests for entries."""
    writing = [bucket.subject_filter] if user == bucket.writer else []
    reading = [bucket.direct_get_subject] if user == bucket.reader else []
    return [*writing, *reading]
