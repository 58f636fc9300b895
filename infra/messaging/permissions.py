"""The NATS users and their permissions, derived from the contracts.

A service may use its own subjects, and may send requests only for operations whose contract lists it as a caller.
"""

from collections.abc import Mapping, Sequence

from contracts.operation import EDGE, OPERATOR
from contracts.registry import SERVICES, operations_for
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.messaging.topology import KV_BUCKETS, OBJECT_BUCKETS, KvBucket, consumers_for, stream_configs

NATS_USERS: tuple[str, ...] = (*SERVICES, EDGE, OPERATOR)
RATE_LIMIT_SUBJECT = f"counts.{EDGE}"
"""The subject on which edges exchange their request counts."""


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
    requests = [operation.subject for operation in operations_for(user)]
    if user == EDGE:
        watched = [bucket.subject_filter for bucket in KV_BUCKETS if bucket.reader == user]
        return Permissions(
            [*requests, *buckets, *kv_buckets, RATE_LIMIT_SUBJECT], [f"_INBOX_{user}.>", RATE_LIMIT_SUBJECT, *watched]
        )
    consumers = [
        subject
        for consumer in consumers_for(user)
        for subject in (
            f"$JS.API.CONSUMER.INFO.{consumer.stream}.{user}",
            f"$JS.ACK.{consumer.stream}.{user}.>",
        )
    ]
    anchors = [AUDIT_ANCHOR_STREAM.subject_for(user)] if user in AUDIT_ANCHOR_STREAM.writers else []
    return Permissions(
        [*requests, f"event.{user}.>", f"dead.{user}.>", f"wake.{user}", *consumers, *buckets, *kv_buckets, *anchors],
        [f"rpc.{user}.*", f"deliver.{user}.*", f"wake.{user}", f"_INBOX_{user}.>"],
        may_reply=True,
    )


def event_reader_permissions(name: str) -> Permissions:
    """Returns the permissions of an external reader: it may read every event, live and stored, and publish nothing."""
    names = [stream.name for stream in stream_configs() if stream.name != "DEAD"]
    publish = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST"]
    for stream in names:
        publish += [
            f"$JS.API.STREAM.INFO.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{name}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{name}.>",
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}",
            f"$JS.API.CONSUMER.INFO.{stream}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
            f"$JS.FC.{stream}.>",
        ]
    return Permissions(publish, ["event.>", "_INBOX.>"])


def _object_bucket_subjects(name: str) -> list[str]:
    """Returns the subjects to which the client of an object store bucket publishes."""
    stream = f"OBJ_{name}"
    return [
        f"$O.{name}.>",
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.STREAM.PURGE.{stream}",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.>",
        f"$JS.FC.{stream}.>",
    ]


def _kv_bucket_subjects(bucket: KvBucket, user: str) -> list[str]:
    """Returns the subjects to which a bucket's writer and reader publish: entries, and requests for entries."""
    writing = [bucket.subject_filter] if user == bucket.writer else []
    reading = [bucket.direct_get_subject] if user == bucket.reader else []
    return [*writing, *reading]


def render_users(passwords: Mapping[str, str], readers: Mapping[str, str] | None = None) -> str:
    """Returns the `authorization` block for the configuration of a NATS server."""
    entries = [_entry(name, passwords[name], permissions_for(name)) for name in NATS_USERS]
    entries += [
        _entry(name, password, event_reader_permissions(name)) for name, password in sorted((readers or {}).items())
    ]
    return "authorization {\n  users: [\n" + "\n".join(entries) + "\n  ]\n}\n"


def _entry(name: str, password: str, permissions: Permissions) -> str:
    replies = "      allow_responses: { max: 1, expires: 30s }\n" if permissions.may_reply else ""
    return (
        f'    {{ user: "{name}", password: "{password}", permissions: {{\n'
        f"      publish: {{ allow: [{_quoted(permissions.publish)}] }}\n"
        f"      subscribe: {{ allow: [{_quoted(permissions.subscribe)}] }}\n"
        f"{replies}    }} }}"
    )


def _quoted(subjects: Sequence[str]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)
