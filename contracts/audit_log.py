"""The audit log: what administrators, machines and operators did, and what concerned the security of accounts.

Each service with a PostgreSQL database keeps its own log as a hash chain: the hash of an entry covers its fields and
the hash of the entry before. A log holds no personal data. A value is shown only if it is a number, a choice from a
list, an id, a SKU or an amount; any other value is stored as `not told`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from contracts.failure import InvalidCursor
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, PageParams, Sku, Timestamp
from contracts.operation import Operation
from contracts.text_patterns import SHA256_DETAIL, SHA256_HEX, text_format

REDACTED = "not told"
"""Stored in place of a value that may be personal: it shows only that there was a value."""

AuditAction = Annotated[
    str, text_format(r"^[a-z]+\.[a-z0-9_]+$", "Send a service and an operation, such as `order.cancel`.", max_length=64)
]
"""The service and the action: `user.ban`. If an operation did it, this is its subject without `rpc.`."""

Sha256Hex = Annotated[str, text_format(SHA256_HEX, SHA256_DETAIL)]
"""A SHA-256 hash in hexadecimal digits."""

AuditFields = dict[str, JsonValue]
"""Fields by name; values that may be personal are redacted."""


class ActorKind(StrEnum):
    """Who or what acted."""

    PERSON = "person"
    KEY = "key"
    """A machine with an API key."""
    OPERATOR = "operator"
    """A person with access to the servers, through the `souk` command."""
    SERVICE = "service"
    """The shop itself."""
    ANYONE = "anyone"
    """A caller who is not signed in."""


class AuditLogActor(Model):
    """Who or what acted."""

    kind: ActorKind
    id: Annotated[Id | None, Field(description="The id of the user or of the API key.")] = None


class AuditLogEntry(Model):
    """One action."""

    seq: Annotated[int, Field(ge=1, description="The position in the chain: from 1, without gaps.")]
    at: Annotated[Timestamp, Field(description="When it happened.")]
    act: Annotated[AuditAction, Field(description="The service and the action.", examples=["user.ban"])]
    actor: AuditLogActor
    client: Annotated[
        str,
        Field(description="Where the request came from: the full IP address of staff, only the network of a customer."),
    ]
    trace_id: Annotated[str, Field(description="The trace of the request.")]
    request_id: Annotated[str, Field(description="The request, as it is named in logs.")]
    subject: Annotated[str, Field(description="The id or SKU of the object that was acted on.")]
    before: Annotated[AuditFields, Field(description="The values before, if known; personal ones are redacted.")]
    after: Annotated[AuditFields, Field(description="The values requested or set; personal ones are redacted.")]
    previous: Annotated[Sha256Hex, Field(description="The hash of the previous entry; zeros for the first.")]
    hash: Annotated[Sha256Hex, Field(description="The hash of this entry.")]


class ListAuditLog(PageParams):
    """Filters of an audit log."""

    actor: Annotated[Id | None, Field(description="Only actions of this user or API key.")] = None
    subject: Annotated[Sku | None, Field(description="Only actions on the object with this id or SKU.")] = None
    act: Annotated[AuditAction | None, Field(description="Only this action, such as `user.ban`.")] = None


def audit_log_operation(service: str) -> Operation[ListAuditLog, ListPage[AuditLogEntry]]:
    """Returns the operation that reads the audit log of a service."""
    return Operation(
        service,
        "trail",
        ListAuditLog,
        ListPage[AuditLogEntry],
        f"Read the audit log of {service}",
        Access.ADMIN,
        (InvalidCursor,),
        people_only=True,
    )
