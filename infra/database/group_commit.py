"""Group commits: requests of one kind that wait at the same moment share one transaction.

A commit costs more than the statements of a small request: the flush of the log, five round trips and their Python.
What arrives while a group is being committed is the next group, so a lone request runs at once and a busy service
commits seldom.

One member never harms the others. If a group fails, it is rolled back and each member runs alone, so its error reaches
its own caller only. Not so after a connection error: the commit may have happened, so nothing is repeated and every
caller gets the error. A group does not wait long for a lock, for the others would wait with it: the member that needs
the lock waits for it alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import asyncpg

from contracts.failure import IdempotencyInProgress
from infra.database.postgres import Connection, Database, Transaction
from infra.database.postgres_errors import UNAVAILABLE_ERRORS
from infra.foundation import trace
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import Request

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

ApplyGroup = Callable[[Sequence[tuple[Transaction, ItemT]]], Awaitable[Sequence[ResultT | Exception]]]
"""`async def apply(members)`: runs the statements of all members and returns one result for each, in order.

The members' transactions share one connection; events, reply, audit entries and trace belong to each. An exception
among the results is raised to that member's caller, and is allowed only if the member has written nothing.
"""

MAX_CONCURRENT_FALLBACKS = 4
_SHORT_LOCK_WAIT = "SET LOCAL lock_timeout = '250ms'"

log = get_logger("souk.group_commit")


@dataclass(slots=True)
class _Member(Generic[ItemT, ResultT]):
    """One waiting request."""

    request: Request[Any] | None
    item: ItemT
    trace_context: trace.Trace
    done: "asyncio.Future[ResultT]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def transaction(self, connection: Connection) -> Transaction:
        with trace.activate(self.trace_context):  # the audit entry keeps it
            return Transaction(connection, self.request, trace_context=self.trace_context)

    @property
    def digest(self) -> bytes | None:
        """What the reply is stored under, if the request has an idempotency key."""
        key = self.request.idempotency_key if self.request is not None else None
        return None if key is None else key.digest


class GroupCommit(Generic[ItemT, ResultT]):
    """Runs requests of one kind in shared transactions.

    A group has at most `max_size` members, and at most `max_concurrent` groups run at the same time.
    """

    def __init__(
        self,
        database: Database,
        apply: ApplyGroup[ItemT, ResultT],
        *,
        max_size: int = 32,
        max_concurrent: int = 2,
    ) -> None:
        self._database = database
        self._apply = apply
        self._max_size = max_size
        self._max_concurrent = max_concurrent
        self._waiting: list[_Member[ItemT, ResultT]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._fallbacks: set[asyncio.Task[None]] = set()
        self._fallback_slots = asyncio.Semaphore(MAX_CONCURRENT_FALLBACKS)

    async def run(self, request: Request[Any] | None, item: ItemT) -> ResultT:
        """Returns the member's result once its group has committed, or raises what it raises when it runs alone."""
        member: _Member[ItemT, ResultT] = _Member(request, item, trace.current())
        self._waiting.append(member)
        if len(self._workers) < self._max_concurrent:
            _start(self._work(), self._workers)
        return await member.done

    async def _work(self) -> None:
        """Runs groups until no request waits."""
        while group := self._next_group():
            # A group has no deadline of its own: that of the first caller says nothing about the others.
            with trace.activate(replace(group[0].trace_context, deadline=None)):
                await self._run_group(group)

    def _next_group(self) -> list[_Member[ItemT, ResultT]]:
        """Takes the next members. Two with the same idempotency key never share a group."""
        group: list[_Member[ItemT, ResultT]] = []
        left: list[_Member[ItemT, ResultT]] = []
        digests: set[bytes | None] = set()
        for member in self._waiting:
            if len(group) == self._max_size or (member.digest is not None and member.digest in digests):
                left.append(member)
            elif not member.done.done():  # its caller no longer waits
                group.append(member)
                digests.add(member.digest)
        self._waiting = left
        return group

    async def _run_group(self, group: Sequence[_Member[ItemT, ResultT]]) -> None:
        try:
            results = await self._commit(group, _SHORT_LOCK_WAIT)
        except UNAVAILABLE_ERRORS as error:
            for member in group:
                _finish(member, error)
        except Exception as error:  # noqa: BLE001 - one member caused it, and gets it when it runs alone
            if len(group) == 1 and not isinstance(error, asyncpg.LockNotAvailableError | IdempotencyInProgress):
                _finish(group[0], error)
                return
            log.info("group commit repeated one by one", members=len(group), reason=type(error).__name__)
            for member in group:
                _start(self._run_alone(member), self._fallbacks)
        else:
            for member, result in zip(group, results, strict=True):
                _finish(member, result)

    async def _run_alone(self, member: _Member[ItemT, ResultT]) -> None:
        async with self._fallback_slots:
            with trace.activate(member.trace_context):
                try:
                    (result,) = await self._commit([member])
                except Exception as error:  # noqa: BLE001 - the caller's
                    _finish(member, error)
                else:
                    _finish(member, result)

    async def _commit(
        self, group: Sequence[_Member[ItemT, ResultT]], lock_wait: str = ""
    ) -> Sequence[ResultT | Exception]:
        async with self._database.committing() as (connection, committed):
            if lock_wait:
                await connection.execute(lock_wait)
            transactions = [member.transaction(connection) for member in group]
            results = await self._apply([(tx, member.item) for tx, member in zip(transactions, group, strict=True)])
            committed += [
                tx for tx, result in zip(transactions, results, strict=True) if not isinstance(result, Exception)
            ]
        return results


def _start(work: Coroutine[Any, Any, None], running: set[asyncio.Task[None]]) -> None:
    """Runs the work in a task that `running` keeps alive."""
    task = asyncio.create_task(work)
    running.add(task)
    task.add_done_callback(running.discard)


def _finish(member: _Member[Any, ResultT], result: ResultT | Exception) -> None:
    """Gives the result to the caller, unless it no longer waits."""
    if member.done.done():
        return
    if isinstance(result, Exception):
        member.done.set_exception(result)
    else:
        member.done.set_result(result)
