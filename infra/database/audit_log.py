"""The audit trail of a service: who did what, when, to what, from where; what it was before and what it is after.

An act is noted in the transaction that does it, so that there is no act without its note and no note of an act that
was undone. The notes are a chain: each has the hash of the one before it, and its own is SHA-256 over that and over
all that it says. They are put in at the very end, under a lock that the commit lets go, so that the chain has no gap
and nobody waits for longer than a commit. `infra.database.audit_anchor` posts the end of the chain where no database
reaches it.

Noted by itself is every write that is for administrators or operators only, every one that touches the security of an
account (`Operation.noted`), and what an administrator does with what is somebody else's. Handlers add what was before.

Nothing personal and nothing secret gets into it, by construction: `told` lets numbers, choices, ids, moments, amounts
and SKUs through, by their types; of everything else it says no more than that it was given. A chain cannot forget, so
what is to be forgotten must not get in. The address it came from is kept because a stolen account of an administrator
is found by it: the whole address of those who work for the shop, and of anybody else the network alone, which is no one
person's.
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
from infra.foundation import pagination as cursor
from infra.foundation import trace
from infra.messaging.rpc import Request

LOCK = 0x50_55_4D
GENESIS_HASH = bytes(32)
"""What stands before the first entry."""
MAX_SEQ = 2**63 - 1
NETWORK_PREFIX_BITS = {4: 24, 6: 48}
"""Bits of an address that name a network with room for many."""

NON_PERSONAL_MARKERS = (*get_args(Sku)[1:], get_args(CurrencyCode)[-1])
"""What marks the strings that name no person."""

COLUMNS = (
    *("seq", "at", "act", "actor_kind", "actor_id", "client", "trace_id", "request_id", "subject", "before", "after"),
    *("previous", "hash"),
)
_LINE_UP = "SELECT pg_advisory_xact_lock($1)"
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
    """Who did it; `staff` works for the shop."""

    kind: ActorKind
    id: UUID | None = None
    is_staff: bool = False


OPERATOR_ACTOR = AuditActor(ActorKind.OPERATOR, is_staff=True)
ANONYMOUS_ACTOR = AuditActor(ActorKind.ANYONE)
SERVICE_ACTOR = AuditActor(ActorKind.SERVICE)


def person_actor(user_id: UUID, role: Role) -> AuditActor:
    return AuditActor(ActorKind.PERSON, user_id, is_staff=role is Role.ADMIN)


@dataclass(slots=True)
class AuditEntry:
    """One act, as it will stand in the trail."""

    action: str
    actor: AuditActor
    client: str = ""
    subject: str = ""
    """Where nothing is named, it is about whoever did it."""
    before: AuditFields = field(default_factory=dict)
    after: AuditFields = field(default_factory=dict)
    trace: trace.Trace = field(default_factory=trace.current)

    def for_subject(self, subject: UUID) -> None:
        """Of many things that were asked for together, it is about this one."""
        self.subject = str(subject)
        self.after = {name: value for name, value in self.after.items() if not isinstance(value, list)}

    def add_changes(self, subject: UUID | None, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Adds what it was about, and what that was and is: as far as it may be told."""
        if subject is not None:
            self.subject = str(subject)
        self.before |= redact_values(before)
        self.after |= redact_values(after)


def entry_for_request(request: Request[Any]) -> AuditEntry | None:
    """The act that an ask is, if it is one to be noted."""
    operation = request.operation
    if operation is None or not is_audited(operation, request.identity):
        return None
    by_operator = operation.callers == (OPERATOR,)
    actor = (
        actor_for_identity(request.identity) if request.identity else OPERATOR_ACTOR if by_operator else ANONYMOUS_ACTOR
    )
    act = operation.subject.removeprefix("rpc.")
    return AuditEntry(act, actor, request.client_ip, subject_id(request.body), after=redact(request.body))


def is_audited(operation: AnyOperation, identity: Identity | None) -> bool:
    """Reading is not an act, and what customers do with what is theirs is their own."""
    if not operation.writes:
        return False
    if operation.audited or operation.access is Access.ADMIN or operation.callers == (OPERATOR,):
        return True
    return (
        identity is not None and identity.is_admin and any(owned.open_to_admins for owned in operation.owned_resources)
    )


def actor_for_identity(identity: Identity) -> AuditActor:
    if identity.scopes is not None:
        return AuditActor(ActorKind.KEY, identity.user_id, is_staff=True)
    return person_actor(identity.user_id, identity.role)


# What may be told.


def redact(message: Model) -> AuditFields:
    """The fields that a message has said something in."""
    plain = non_personal_fields(type(message))
    return {name: _told(getattr(message, name), plain=name in plain) for name in sorted(message.model_fields_set)}


def redact_values(values: Mapping[str, Any]) -> AuditFields:
    """The same of values by name; a string by itself is never told."""
    return {name: _told(value, plain=False) for name, value in values.items()}


def subject_id(message: Model) -> str:
    """The id, or the SKU, of what a message is about; empty where it names none."""
    plain = non_personal_fields(type(message))
    for name in ("id", "sku"):
        value = getattr(message, name, None)
        if isinstance(value, UUID) or (isinstance(value, str) and name in plain):
            return str(value)
    return ""


def _told(value: Any, *, plain: bool) -> Any:
    """As JSON, such that reading it back from the database gives the same again."""
    if isinstance(value, Model):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_told(one, plain=plain) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID | datetime):
        return str(value)
    is_small = isinstance(value, int) and abs(value) < MAX_SEQ
    return value if value is None or is_small or (plain and isinstance(value, str)) else REDACTED


@cache
def non_personal_fields(model: type[Model]) -> frozenset[str]:
    hints = get_type_hints(model, include_extras=True)
    return frozenset(name for name in model.model_fields if _is_plain(hints[name]))


def _is_plain(hint: Any) -> bool:
    """Whether every string that a field may hold is of a kind that names no person."""
    if hint is NoneType:
        return True
    parts = get_args(hint)
    if get_origin(hint) is Annotated:
        return any(mark in NON_PERSONAL_MARKERS for mark in parts[1:]) or _is_plain(parts[0])
    return bool(parts) and all(_is_plain(part) for part in parts)


def anonymize_ip(client: str, actor: AuditActor) -> str:
    """The address of who works for the shop, anybody else's network; nothing where it is no address."""
    try:
        address = ip_interface(client).ip
    except ValueError:
        return ""
    return str(
        address if actor.is_staff else ip_network(f"{address}/{NETWORK_PREFIX_BITS[address.version]}", strict=False)
    )


def is_uuid(text: str) -> bool:
    """Whether we may have made it: what a client named its request by may be anything."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# The chain.


def entry_hash(entry: Mapping[str, Any]) -> bytes:
    """SHA-256 over the hash before it and all that an entry says, each in its place."""
    said = [str(entry[name]) if isinstance(entry[name], UUID) else entry[name] for name in COLUMNS[:-2]]
    return hashlib.sha256(entry["previous"] + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


async def append_entries(connection: Any, entries: Sequence[AuditEntry]) -> None:
    """Puts notes at the end of the chain, which is this transaction's until it ends. Nothing may be locked after it."""
    await connection.execute(_LINE_UP, LOCK)
    end = await connection.fetchrow(_END)
    seq, previous = (end["seq"] or 0), (end["hash"] or GENESIS_HASH)
    rows = []
    for number, note in enumerate(entries, seq + 1):
        entry = _entry(note) | {"seq": number, "at": end["at"], "previous": previous}
        previous = entry["hash"] = entry_hash(entry)
        rows.append([entry[name] for name in COLUMNS])
    await connection.executemany(_APPEND, rows)


def _entry(note: AuditEntry) -> dict[str, Any]:
    return {
        "act": note.action,
        "actor_kind": note.actor.kind.value,
        "actor_id": note.actor.id,
        "client": anonymize_ip(note.client, note.actor),
        "trace_id": note.trace.trace_id,
        "request_id": note.trace.request_id if is_uuid(note.trace.request_id) else "",
        "subject": note.subject or str(note.actor.id or ""),
        "before": note.before,
        "after": note.after,
    }


# Its pages.


async def read_page(connection: Any, request: ListAuditLog) -> ListPage[AuditLogEntry]:
    """The newest first."""
    before = MAX_SEQ
    if request.after is not None:
        (before,) = cursor.decode_cursor(request.after, int)
        if not 0 < before <= MAX_SEQ:
            raise InvalidCursor
    rows = await connection.fetch(_PAGE, before, request.actor, request.subject, request.act, request.limit + 1)
    shown = [_shown(row) for row in rows[: request.limit]]
    return ListPage(items=shown, next=cursor.encode_cursor(shown[-1].seq) if len(rows) > request.limit else None)


def _shown(row: Mapping[str, Any]) -> AuditLogEntry:
    actor_id = UUID(str(row["actor_id"])) if row["actor_id"] else None
    as_it_is = ("seq", "at", "act", "client", "trace_id", "request_id", "subject", "before", "after")
    return AuditLogEntry(
        **{name: row[name] for name in as_it_is},
        actor=AuditLogActor(kind=ActorKind(row["actor_kind"]), id=actor_id),
        previous=row["previous"].hex(),
        hash=row["hash"].hex(),
    )
