"""The audit trail: what administrators, machines and operators did, and what happened to the security of accounts.

Each service with a PostgreSQL database keeps its own, as a chain: each entry's hash is made of everything in it and of
the hash before it. Nothing personal is ever in it: what is not a number, a choice, an id, a SKU or an amount stands
there as `not told`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue, StringConstraints

from contracts.failure import InvalidCursor
from contracts.identity import Access
from contracts.model import Id, ListPage, Model, PageParams, Sku, Timestamp
from contracts.operation import Operation

REDACTED = "not told"
"""Stands for a value of which only that it was given may be told."""

AuditAction = Annotated[str, StringConstraints(pattern=r"^[a-z]+\.[a-z0-9_]+$", max_length=64)]
"""The service and what was done: `user.ban`. An operation's subject without `rpc.`, where one did it."""

Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal digits."""

AuditFields = dict[str, JsonValue]
"""Fields by name, as far as they are told."""


class ActorKind(StrEnum):
    """What did it."""

    PERSON = "person"
    KEY = "key"
    """A machine, with somebody's API key."""
    OPERATOR = "operator"
    """Whoever has the shop's servers, by the `souk` command."""
    SERVICE = "service"
    """The shop by itself."""
    ANYONE = "anyone"
    """Somebody who is not signed in."""


class AuditLogActor(Model):
    kind: ActorKind
    id: Annotated[Id | None, Field(description="The person's, or the key's.")] = None


class AuditLogEntry(Model):
    """One act."""

    seq: Annotated[int, Field(ge=1, description="Its place in the chain, from 1 and without a gap.")]
    at: Timestamp
    act: AuditAction
    actor: AuditLogActor
    client: Annotated[
        str, Field(description="Where it came from: the address of whoever works for the shop, a customer's network.")
    ]
    trace_id: str
    request_id: str
    subject: Annotated[str, Field(description="The id or SKU of what it was done to.")]
    before: Annotated[AuditFields, Field(description="What was, where it is known and may be told.")]
    after: Annotated[AuditFields, Field(description="What was asked for or came of it, as far as it may be told.")]
    previous: Annotated[Sha256Hex, Field(description="The hash of the entry before; zeros for the first.")]
    hash: Sha256Hex


class ListAuditLog(PageParams):
    actor: Annotated[Id | None, Field(description="Only what this person or key did.")] = None
    subject: Annotated[Sku | None, Field(description="Only what was done to the thing with this id or SKU.")] = None
    act: Annotated[AuditAction | None, Field(description="Only acts of this kind.")] = None


def audit_log_operation(service: str) -> Operation[ListAuditLog, ListPage[AuditLogEntry]]:
    return Operation(
        service,
        "trail",
        ListAuditLog,
        ListPage[AuditLogEntry],
        f"Read the audit trail of {service}",
        Access.ADMIN,
        (InvalidCursor,),
        people_only=True,
    )
