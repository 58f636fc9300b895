"""The audit log of a service: who did what, when, to what and from where, with the values before and after.

An entry is written in the transaction of the action, so no action lacks its entry and no rolled-back action has one.
The entries are a hash chain: each has the hash of the one before it, and its own is SHA-256 over that and over all its
fields. They are appended at the very end of the transaction, under an advisory lock that the commit releases, so the
chain has no gap and the lock is held only for a commit. `infra.database.audit_anchor` publishes the end of the chain to
a stream that no database user reaches.

Audited without further code are writes that only administrators or operators may make, writes that touch the security
of an account (`Operation.audited`), and what an administrator does with a customer's resource. Handlers add the values
before the change.

The log holds nothing personal and nothing secret, by construction: `redact` passes numbers, enums, ids, times, amounts
and SKUs, by their types; of every other value the log says only that it was given. A hash chain cannot delete, so
personal data must never get in. The client's address is kept because it helps to find the use of a stolen administrator
account: in full for staff, and only the network, which many people share, for others.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache
from ipaddress import ip_interface, ip_network
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson

from contracts.audit_log import REDACTED, ActorKind, AuditFields, AuditLogActor, AuditLogEntry, ListAuditLog
from contracts.failure import InvalidCursor
from contracts.identity import Access, Identity, Role
from contracts.model import ListPage, Model, Sku
from contracts.money import CurrencyCode
from contracts.operation import OPERATOR, AnyOperation
from infra.database.advisory_locks import AdvisoryLock, lock
from infra.foundation import pagination, trace
from infra.messaging.rpc_client import Request

GENESIS_HASH = bytes(32)
"""The `previous` hash of the first entry."""
MAX_SEQ = 2**63 - 1
NETWORK_PREFIX_BITS = {4: 24, 6: 48}
"""Prefix length, by IP version, of a network that many people share."""

NON_PERSONAL_MARKERS = (*get_args(Sku)[1:], get_args(CurrencyCode)[-1])
"""The annotations that mark string types which identify no person."""

COLUMNS = (
    *("seq", "at", "act", "actor_kind", "actor_id", "client", "trace_id", "request_id", "subject", "before", "after"),
    *("previous", "hash"),
)
_END = """
SELECT clock_timestamp() AS at, seq, hash
FROM (SELECT) AS now LEFT JOIN LATERAL (SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1) AS last ON true
"""
_APPEND = f"""
INSERT INTO trail ({", ".join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""  # noqa: S608 - constants
_PAGE = f"""
SELECT {", ".join(COLUMNS)} FROM trail
WHERE seq < $1 AND ($2::uuid IS NULL OR actor_id = $2) AND ($3::text IS NULL OR subject = $3)
    AND ($4::text IS NULL OR act = $4)
ORDER BY seq DESC LIMIT $5
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class AuditActor:
    """Who acted; `is_staff` for those who work for the shop."""

    kind: ActorKind
    id: UUID | None = None
    is_staff: bool = False


OPERATOR_ACTOR = AuditActor(ActorKind.OPERATOR, is_staff=True)
ANONYMOUS_ACTOR = AuditActor(ActorKind.ANYONE)
SERVICE_ACTOR = AuditActor(ActorKind.SERVICE)


def person_actor(user_id: UUID, role: Role) -> AuditActor:
    """The actor of a signed-in user; administrators are staff."""
    return AuditActor(ActorKind.PERSON, user_id, is_staff=role is Role.ADMIN)


@dataclass(slots=True)
class AuditEntry:
    """One audited action, as it will be appended to the log."""

    action: str
    actor: AuditActor
    client: str = ""
    subject: str = ""
    """The id or SKU of what was changed; the actor itself where the request names nothing."""
    before: AuditFields = field(default_factory=dict)
    after: AuditFields = field(default_factory=dict)
    trace_context: trace.Trace = field(default_factory=trace.current)

    def for_subject(self, subject: UUID) -> None:
        """Narrows an entry of a request that names several things to this one."""
        self.subject = str(subject)
        self.after = {name: value for name, value in self.after.items() if not isinstance(value, list)}

    def add_changes(self, subject: UUID | None, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Sets the subject and adds redacted values from before and after the change."""
        if subject is not None:
            self.subject = str(subject)
        self.before |= redact_values(before)
        self.after |= redact_values(after)


def entry_for_request(request: Request[Any]) -> AuditEntry | None:
    """The entry of a request, or None if its operation is not audited for this caller."""
    operation = request.operation
    if operation is None or not is_audited(operation, request.identity):
        return None
    by_operator = operation.callers == (OPERATOR,)
    unsigned = OPERATOR_ACTOR if by_operator else ANONYMOUS_ACTOR
    actor = actor_for_identity(request.identity) if request.identity else unsigned
    action = operation.subject.removeprefix("rpc.")
    return AuditEntry(action, actor, request.client_ip, subject_id(request.body), after=redact(request.body))


def is_audited(operation: AnyOperation, identity: Identity | None) -> bool:
    """Whether a request is audited: reads never are, nor what customers do with what is their own."""
    if not operation.writes:
        return False
    if operation.audited or operation.access is Access.ADMIN or operation.callers == (OPERATOR,):
        return True
    return (
        identity is not None and identity.is_admin and any(owned.open_to_admins for owned in operation.owned_resources)
    )


def actor_for_identity(identity: Identity) -> AuditActor:
    """The actor of a verified identity: a person, or an API key."""
    if identity.scopes is not None:
        return AuditActor(ActorKind.KEY, identity.user_id, is_staff=True)
    return person_actor(identity.user_id, identity.role)


# Redaction.


def redact(message: Model) -> AuditFields:
    """The fields that are set in a message, with personal values redacted."""
    allowed = non_personal_fields(type(message))
    return {
        name: _redact(getattr(message, name), allow_text=name in allowed) for name in sorted(message.model_fields_set)
    }


def redact_values(values: Mapping[str, Any]) -> AuditFields:
    """The same for values by name; bare strings are always redacted."""
    return {name: _redact(value, allow_text=False) for name, value in values.items()}


def subject_id(message: Model) -> str:
    """The id or the SKU of what a message is about; empty where it names none."""
    allowed = non_personal_fields(type(message))
    for name in ("id", "sku"):
        value = getattr(message, name, None)
        if isinstance(value, UUID) or (isinstance(value, str) and name in allowed):
            return str(value)
    return ""


def _redact(value: Any, *, allow_text: bool) -> Any:
    """Returns JSON that reads back from the database unchanged, so that the hash can be checked."""
    if isinstance(value, Model):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_redact(item, allow_text=allow_text) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID | datetime):
        return str(value)
    is_small = isinstance(value, int) and abs(value) < MAX_SEQ
    return value if value is None or is_small or (allow_text and isinstance(value, str)) else REDACTED


@cache
def non_personal_fields(model: type[Model]) -> frozenset[str]:
    """The fields of a model whose strings identify no person."""
    hints = get_type_hints(model, include_extras=True)
    return frozenset(name for name in model.model_fields if _is_non_personal(hints[name]))


def _is_non_personal(hint: Any) -> bool:
    """Whether every string type of the hint is marked as identifying no person."""
    if hint is NoneType:
        return True
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        return any(mark in NON_PERSONAL_MARKERS for mark in parts[1:]) or _is_non_personal(parts[0])
    return bool(parts) and all(_is_non_personal(part) for part in parts)


def anonymize_ip(client: str, actor: AuditActor) -> str:
    """The full address of staff, only the network of others; empty where it is no address."""
    try:
        address = ip_interface(client).ip
    except ValueError:
        return ""
    return str(
        address if actor.is_staff else ip_network(f"{address}/{NETWORK_PREFIX_BITS[address.version]}", strict=False)
    )


def is_uuid(text: str) -> bool:
    """Whether a request id may be one of ours; clients can send any text, and only UUIDs are kept."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# The hash chain.


def entry_hash(entry: Mapping[str, Any]) -> bytes:
    """SHA-256 over the previous hash and all other fields of an entry, in the order of `COLUMNS`."""
    values = [str(entry[name]) if isinstance(entry[name], UUID) else entry[name] for name in COLUMNS[:-2]]
    return hashlib.sha256(entry["previous"] + orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).digest()


async def append_entries(connection: Any, entries: Sequence[AuditEntry]) -> None:
    """Appends entries to the chain and locks it to the commit, so the caller must take no further locks after it."""
    await lock(connection, AdvisoryLock.AUDIT_LOG)
    end = await connection.fetchrow(_END)
    last_seq, previous = (end["seq"] or 0), (end["hash"] or GENESIS_HASH)
    rows = []
    for seq, entry in enumerate(entries, last_seq + 1):
        fields = _fields(entry) | {"seq": seq, "at": end["at"], "previous": previous}
        previous = fields["hash"] = entry_hash(fields)
        rows.append([fields[name] for name in COLUMNS])
    await connection.executemany(_APPEND, rows)


def _fields(entry: AuditEntry) -> dict[str, Any]:
    return {
        "act": entry.action,
        "actor_kind": entry.actor.kind.value,
        "actor_id": entry.actor.id,
        "client": anonymize_ip(entry.client, entry.actor),
        "trace_id": entry.trace_context.trace_id,
        "request_id": entry.trace_context.request_id if is_uuid(entry.trace_context.request_id) else "",
        "subject": entry.subject or str(entry.actor.id or ""),
        "before": entry.before,
        "after": entry.after,
    }


# Pages.


async def read_page(connection: Any, request: ListAuditLog) -> ListPage[AuditLogEntry]:
    """One page of the log, the newest entries first."""
    before = MAX_SEQ
    if request.after is not None:
        (before,) = pagination.decode_cursor(request.after, int)
        if not 0 < before <= MAX_SEQ:
            raise InvalidCursor
    rows = await connection.fetch(_PAGE, before, request.actor, request.subject, request.act, request.limit + 1)
    items = pagination.take_fitting([_to_contract(row) for row in rows], request.limit)
    return ListPage(items=items, next=pagination.encode_cursor(items[-1].seq) if len(rows) > len(items) else None)


def _to_contract(row: Mapping[str, Any]) -> AuditLogEntry:
    actor_id = UUID(str(row["actor_id"])) if row["actor_id"] else None
    copied = ("seq", "at", "act", "client", "trace_id", "request_id", "subject", "before", "after")
    return AuditLogEntry(
        **{name: row[name] for name in copied},
        actor=AuditLogActor(kind=ActorKind(row["actor_kind"]), id=actor_id),
        previous=row["previous"].hex(),
        hash=row["hash"].hex(),
    )
