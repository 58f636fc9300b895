"""What one transaction collects: events, a reply and audit entries, which commit with the change."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import asyncpg

from contracts.event import Event
from contracts.failure import IdempotencyInProgress
from contracts.identity import Role
from contracts.model import Model
from infra.database import audit_log, outbox, stored_replies
from infra.database.audit_log import AuditActor, AuditEntry
from infra.foundation import trace
from infra.messaging.idempotency import AlreadyProcessed, IdempotencyKey, StoredReply
from infra.messaging.rpc_client import Reply, Request

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Any]
else:  # generic for the type checker only
    Connection = asyncpg.pool.PoolConnectionProxy
ReplyT = TypeVar("ReplyT", bound=Model)
ApplyCollected = Callable[["Transaction", Sequence[Any]], Awaitable[None]]
AuditValues = Mapping[str, Any]
"""Values by field name, for the audit log."""


class Transaction:
    """One transaction: store functions run on `connection`; events, the reply and audit entries commit with it."""

    def __init__(
        self,
        connection: Connection,
        request: Request[Any] | None = None,
        *,
        audited: bool = True,
        trace_context: trace.Trace | None = None,
    ) -> None:
        self.connection = connection
        self.idempotency_key = request.idempotency_key if request is not None else None
        self.trace_context = trace_context
        """The trace of the request or event that shares the transaction with others; None for the current one."""
        self.audited_action = audit_log.entry_for_request(request) if request is not None and audited else None
        """The audit entry of the operation that runs in this transaction, if the operation is audited."""
        self.extra_audit_entries: list[AuditEntry] = []
        self.events: list[tuple[Event, trace.Trace]] = []
        self.stored_reply: Reply[Any] | None = None
        self._collected: dict[ApplyCollected, list[Any]] = {}
        self._collected_last: dict[ApplyCollected, list[Any]] = {}
        self._on_commit: list[Callable[[], None]] = []

    def collect(self, apply: ApplyCollected, row: Any) -> None:
        """Adds a row for `apply(tx, rows)`, which gets all rows at once: one statement for the events of a batch."""
        self._collected.setdefault(apply, []).append(row)

    async def flush(self) -> None:
        """Applies what was collected: before the commit, or before a statement that depends on it."""
        collected, self._collected = self._collected, {}
        for apply, rows in collected.items():
            await apply(self, rows)

    def collect_last(self, apply: ApplyCollected, row: Any) -> None:
        """Adds a row for `apply(tx, rows)`, which runs right before the commit, after everything else was written.

        It is for a row that many transactions lock, such as a counter: each waits for the others' commits alone.
        """
        self._collected_last.setdefault(apply, []).append(row)

    async def flush_last(self) -> None:
        """Applies what was collected for the end of the transaction."""
        for apply, rows in self._collected_last.items():
            await apply(self, rows)

    def publish(self, *events: Event) -> None:
        """Adds events. They are in the outbox if, and only if, the transaction commits."""
        context = self.trace_context or trace.current()
        self.events += [(event, context) for event in events]

    def reply(self, body: ReplyT, *, version: int | None = None) -> Reply[ReplyT]:
        """Builds the reply to the transaction's request; it is stored under the request's idempotency key."""
        reply = Reply(body, version)
        self.stored_reply = reply
        if self.audited_action is not None and not self.audited_action.subject:
            self.audited_action.subject = audit_log.subject_id(body)
        return reply

    def audit_action(self, request: Request[Any], subject: UUID | None = None) -> None:
        """Audits the request's operation in this transaction, which does not store the reply.

        `subject` is the one thing that this transaction changes, where the request names several.
        """
        self.audited_action = audit_log.entry_for_request(request)
        if self.audited_action is not None and subject is not None:
            self.audited_action.for_subject(subject)

    def audit_changes(
        self, subject: UUID | None = None, *, before: AuditValues | None = None, after: AuditValues | None = None
    ) -> None:
        """Adds the subject and its values before and after to the audited action; personal values are redacted."""
        if self.audited_action is not None:
            self.audited_action.add_changes(subject, before or {}, after or {})

    def authenticated_as(self, account_id: UUID, role: Role) -> None:
        """Sets who acts where the request carries no identity: the account that was just authenticated."""
        if self.audited_action is not None:
            self.audited_action.actor = audit_log.person_actor(account_id, role)
            self.audited_action.subject = str(account_id)

    def audit(
        self,
        action: str,
        actor: AuditActor,
        client: str = "",
        *,
        subject: UUID | None = None,
        after: AuditValues | None = None,
    ) -> None:
        """Adds one more entry to the audit log, beside the entry of the operation."""
        entry = AuditEntry(action, actor, client)
        entry.add_changes(subject, {}, after or {})
        self.extra_audit_entries.append(entry)

    @property
    def audit_entries(self) -> list[AuditEntry]:
        """Every entry that the commit appends to the audit log."""
        return [*([self.audited_action] if self.audited_action is not None else []), *self.extra_audit_entries]

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Calls back once the transaction has committed, for example to wake a worker."""
        self._on_commit.append(callback)


async def write_before_commit(connection: Connection, members: Sequence[Transaction]) -> bool:
    """Writes what commits with the changes: events, replies under their keys, the audit entries, if any, and last what
    locks a row that many transactions want.
    """
    for tx in members:
        await tx.flush()
    await _insert_events_and_replies(connection, members)
    audit_entries = [entry for tx in members for entry in tx.audit_entries]
    if audit_entries:
        await audit_log.append_entries(connection, audit_entries)
    for tx in members:
        await tx.flush_last()
    return bool(audit_entries)


async def _insert_events_and_replies(connection: Connection, members: Sequence[Transaction]) -> None:
    events = [published for tx in members for published in tx.events]
    replies: list[tuple[IdempotencyKey, StoredReply]] = []
    for tx in members:
        if tx.idempotency_key is not None:
            assert tx.stored_reply is not None, "end the transaction of a request with tx.reply(...)"
            replies.append((tx.idempotency_key, tx.stored_reply.to_stored()))
    if not replies:
        if events:
            await outbox.insert_events(connection, events)
        return
    try:
        stored = await stored_replies.store_all(connection, replies, events)
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgress(retry_after=1) from error
    if stored < len(replies):
        raise AlreadyProcessed
