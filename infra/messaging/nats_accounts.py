"""The NATS accounts: one for the shop, and one for each external reader of its events.

A user who may create consumers chooses the subject to which the server publishes their messages, around every
permission to publish. A reader may create consumers, but in an account of its own: no subject of the shop exists there.
That account has mirrors of the shop's event streams, and receives the live events.

The shop's account exports to a reader's account what the server needs to fill the mirrors. The reader's permissions
exclude it. In the other direction the operator manages the mirrors.
"""

from collections.abc import Mapping, Sequence

from nats.js.api import ExternalStream, StorageType, StreamConfig, StreamSource

from infra.messaging.permissions import NATS_USERS, Permissions, permissions_for
from infra.messaging.topology import DEAD_LETTER_STREAM, stream_configs

SHOP_ACCOUNT = "SHOP"
SHOP_API_PREFIX = "$JS.SHOP.API"
"""Where the server finds the JetStream API of the shop in a reader's account."""
READER_PERMISSIONS = Permissions(
    [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.DIRECT.GET.>",
        "$JS.API.CONSUMER.>",
        "$JS.ACK.>",
        "$JS.FC.>",
    ],
    ["event.>", "_INBOX.>"],
)
"""A reader may read the mirrors and do anything with its consumers. It may change no stream and publish no message."""


def reader_account(reader: str) -> str:
    """Returns the name of the account of a reader."""
    return f"READER_{reader}"


def reader_api_prefix(reader: str) -> str:
    """Returns where the operator finds the JetStream API of a reader's account."""
    return f"$JS.READER.{reader}.API"


def mirror_configs(reader: str, replicas: int = 1) -> list[StreamConfig]:
    """Returns the mirrors in a reader's account, which keep the events as long as the shop's streams keep them."""
    return [
        StreamConfig(
            name=stream.name,
            description=stream.description,
            storage=StorageType.FILE,
            num_replicas=replicas,
            max_age=stream.max_age,
            duplicate_window=None,  # type: ignore[arg-type]  # as NATS reports it for a mirror
            mirror_direct=True,
            mirror=StreamSource(
                name=str(stream.name),
                external=ExternalStream(api=SHOP_API_PREFIX, deliver=f"mirror.{reader}.{stream.name}"),
            ),
        )
        for stream in stream_configs(replicas)
        if stream.name != DEAD_LETTER_STREAM
    ]


def render_accounts(passwords: Mapping[str, str], readers: Mapping[str, str] | None = None) -> str:
    """Returns the `accounts` block for the configuration of a NATS server, with every user and its permissions."""
    names = sorted(readers or {})
    users = [_user(name, passwords[name], permissions_for(name)) for name in NATS_USERS]
    exports = _shop_exports(names)
    imports = [_import("service", reader_account(name), "$JS.API.>", f"{reader_api_prefix(name)}.>") for name in names]
    accounts = [_account(SHOP_ACCOUNT, users, exports, imports)]
    accounts += [_reader_account(name, (readers or {})[name]) for name in names]
    return "accounts {\n" + "".join(accounts) + "}\n"


def _reader_account(name: str, password: str) -> str:
    subjects = [
        *((subject, subject.replace("$JS.API", SHOP_API_PREFIX)) for subject in _mirrored_api()),
        ("$JS.FC.>", ""),
    ]
    imports = [
        *(_import("stream", SHOP_ACCOUNT, subject) for subject in ("event.>", f"mirror.{name}.>")),
        *(_import("service", SHOP_ACCOUNT, subject, local) for subject, local in subjects),
    ]
    exports = [_export("service", "$JS.API.>", SHOP_ACCOUNT)]
    return _account(reader_account(name), [_user(name, password, READER_PERMISSIONS)], exports, imports)


def _shop_exports(readers: Sequence[str]) -> list[str]:
    if not readers:
        return []
    accounts = [reader_account(name) for name in readers]
    return [
        _export("stream", "event.>", *accounts),
        *(_export("stream", f"mirror.{name}.>", reader_account(name)) for name in readers),
        *(_export("service", subject, *accounts) for subject in (*_mirrored_api(), "$JS.FC.>")),
    ]


def _mirrored_api() -> list[str]:
    """Returns the requests of the JetStream API by which the server makes the consumer of a mirror."""
    names = [stream.name for stream in stream_configs() if stream.name != DEAD_LETTER_STREAM]
    return [
        subject
        for name in names
        for subject in (f"$JS.API.CONSUMER.CREATE.{name}", f"$JS.API.CONSUMER.CREATE.{name}.>")
    ]


def _account(name: str, users: Sequence[str], exports: Sequence[str], imports: Sequence[str]) -> str:
    parts = {"users": users, "exports": exports, "imports": imports}
    lists = "".join(f"    {key}: [\n" + "\n".join(lines) + "\n    ]\n" for key, lines in parts.items() if lines)
    return f'  "{name}": {{\n    jetstream: enabled\n{lists}  }}\n'


def _export(kind: str, subject: str, *accounts: str) -> str:
    return f'      {{ {kind}: "{subject}", accounts: [{_quoted(accounts)}] }}'


def _import(kind: str, account: str, subject: str, local: str = "") -> str:
    renamed = f', to: "{local}"' if local else ""
    return f'      {{ {kind}: {{ account: "{account}", subject: "{subject}" }}{renamed} }}'


def _user(name: str, password: str, permissions: Permissions) -> str:
    replies = "        allow_responses: { max: 1, expires: 30s }\n" if permissions.may_reply else ""
    return (
        f'      {{ user: "{name}", password: "{password}", permissions: {{\n'
        f"        publish: {{ allow: [{_quoted(permissions.publish)}] }}\n"
        f"        subscribe: {{ allow: [{_quoted(permissions.subscribe)}] }}\n"
        f"{replies}      }} }}"
    )


def _quoted(subjects: Sequence[str]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)
