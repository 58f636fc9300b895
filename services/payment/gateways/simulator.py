"""The simulator: a gateway whose tokens decide what happens, so that a shop can be tried without a bank.

It stands for another company: its data lies in a schema of its own, which no other code reads. Each of its statements
commits by itself, and durably: a gateway does not forget what it has answered, even in a crash. A process that has
received an answer settles by it once the database is back, so a simulator that forgets would disagree for ever.

Charges requested at the same moment are sent in one statement, so that the simulator costs the shop next to nothing.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from contracts.money import Money
from infra.database.postgres import Connection, Database
from infra.database.postgres_errors import UNAVAILABLE_ERRORS
from infra.foundation.failpoints import failpoint
from services.payment.domain.charges import METHOD_UNKNOWN, ChargeOutcome, ChargeState
from services.payment.gateways import GatewayError, Movement, MovementKind, RefundRefused

ERRED, REFUSED = "erred", "refused"
PAGE_SIZE = 1000
UNREACHABLE_ERRORS: tuple[type[Exception], ...] = (*UNAVAILABLE_ERRORS, asyncpg.PostgresError)


@dataclass(frozen=True, slots=True)
class TokenBehaviour:
    """What a token makes the simulator do."""

    state: str = ChargeState.CAPTURED
    failure_code: str | None = None
    is_late: bool = False
    loses_reply: bool = False
    """Captures, but the first reply is lost. The next call under the same key gets it."""


TOKENS: Mapping[str, TokenBehaviour] = {
    "sim_ok": TokenBehaviour(),
    "sim_declined": TokenBehaviour(ChargeState.DECLINED, "card_declined"),
    "sim_insufficient_funds": TokenBehaviour(ChargeState.DECLINED, "insufficient_funds"),
    "sim_timeout": TokenBehaviour(is_late=True),
    "sim_action": TokenBehaviour(ChargeState.ACTION_REQUIRED),
    "sim_error_once": TokenBehaviour(ERRED),
    "sim_lost_answer": TokenBehaviour(loses_reply=True),
}

_REPLY_COLUMNS = """
state, failure_code, client_secret, calls, extract(epoch FROM effective_at - clock_timestamp())::float8 AS wait
"""
_CHARGE = f"""
INSERT INTO simulator.charge AS known (key, token, amount, currency, state, failure_code, client_secret, effective_at)
SELECT requested.key, token, amount, currency, state, failure_code, secret, now() + make_interval(secs => late)
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[])
    AS requested (key, token, amount, currency, state, failure_code, secret, late)
ON CONFLICT (key) DO UPDATE SET
    calls = known.calls + 1,
    state = CASE known.state WHEN 'erred' THEN 'captured' ELSE known.state END,
    effective_at = CASE known.state WHEN 'erred' THEN now() ELSE known.effective_at END
RETURNING key, {_REPLY_COLUMNS}
"""  # noqa: S608 - constants
_CONFIRM = """
UPDATE simulator.charge SET state = 'captured', effective_at = now() WHERE key = $1 AND state = 'action_required'
"""
_VOID = """
INSERT INTO simulator.charge AS known (key, amount, currency, state) VALUES ($1, $2, $3, 'voided')
ON CONFLICT (key) DO UPDATE SET calls = known.calls + 1, effective_at = least(known.effective_at, now()), state =
    CASE WHEN known.state = 'declined' OR (known.state = 'captured' AND known.effective_at <= clock_timestamp())
         THEN known.state ELSE 'voided' END
"""
_FIND = f"SELECT {_REPLY_COLUMNS} FROM simulator.charge WHERE key = $1"  # noqa: S608 - constants
_REFUND = """
WITH requested AS (
    SELECT key, token, state = 'captured' AND effective_at <= clock_timestamp() AND amount >=
        $3::bigint + (SELECT coalesce(sum(other.amount), 0) FROM simulator.refund AS other
                      WHERE other.charge_key = $2 AND other.key <> $1 AND other.state <> 'refused') AS allowed
    FROM simulator.charge WHERE key = $2
)
INSERT INTO simulator.refund AS known (key, charge_key, amount, state)
SELECT $1, key, $3::bigint,
    CASE WHEN NOT allowed THEN 'refused' WHEN token = 'sim_error_once' THEN 'erred' ELSE 'refunded' END
FROM requested
ON CONFLICT (key) DO UPDATE SET calls = known.calls + 1,
    state = CASE known.state WHEN 'erred' THEN 'refunded' ELSE known.state END
RETURNING state
"""
_REFUNDED = "SELECT state = 'refunded' FROM simulator.refund WHERE key = $1"
_CHARGES = """
SELECT key, key AS charge_key, amount, currency, effective_at FROM simulator.charge
WHERE state = 'captured' AND effective_at <= now() AND key > $1 ORDER BY key LIMIT $2
"""
_REFUNDS = """
SELECT refund.key, charge_key, refund.amount, currency, refund.effective_at
FROM simulator.refund JOIN simulator.charge ON charge.key = charge_key
WHERE refund.state = 'refunded' AND refund.key > $1 ORDER BY refund.key LIMIT $2
"""
_CHARGES_SINCE = """
SELECT key, key AS charge_key, amount, currency, effective_at FROM simulator.charge
WHERE state = 'captured' AND effective_at <= now() AND (effective_at, key) > ($1, $2)
ORDER BY effective_at, key LIMIT $3
"""
_REFUNDS_SINCE = """
SELECT refund.key, charge_key, refund.amount, currency, refund.effective_at
FROM simulator.refund JOIN simulator.charge ON charge.key = charge_key
WHERE refund.state = 'refunded' AND (refund.effective_at, refund.key) > ($1, $2)
ORDER BY refund.effective_at, refund.key LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class _Call:
    """A charge that waits to be sent with others."""

    key: UUID
    money: Money
    method: str
    reply: "asyncio.Future[asyncpg.Record]"


class Simulator:
    """The simulated gateway. `late_seconds` is how long `sim_timeout` takes to capture and to reply."""

    name = "simulator"

    def __init__(self, db: Database, *, late_seconds: float) -> None:
        self.db = db
        self.late_seconds = late_seconds
        self._pending: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    def accepts(self, method: str) -> bool:
        """Whether the payment method is a token of the simulator."""
        return method in TOKENS

    async def charge(self, key: UUID, money: Money, method: str) -> ChargeOutcome:
        """Charges under this key, as the token decides. Waits for the reply of the batch it is sent with."""
        if method not in TOKENS:
            return ChargeOutcome(ChargeState.DECLINED, METHOD_UNKNOWN)
        call = _Call(key, money, method, asyncio.get_running_loop().create_future())
        self._pending.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        reply = await call.reply
        if reply["state"] == ERRED:
            raise GatewayError("simulated failure")
        if TOKENS[method].loses_reply and reply["calls"] == 1:
            raise GatewayError("simulated loss of the reply")
        if reply["wait"] > 0 and reply["state"] == ChargeState.CAPTURED:
            await asyncio.sleep(reply["wait"])
            return await self._known_outcome(key)
        return _outcome(reply)

    async def confirm(self, key: UUID) -> ChargeOutcome:
        """Captures a charge that required a second step."""
        async with self._connection() as connection:
            await connection.execute(_CONFIRM, key)
        failpoint("simulator.confirmed")
        return await self._known_outcome(key)

    async def void(self, key: UUID, money: Money) -> ChargeOutcome:
        """Prevents any capture under this key from now on."""
        async with self._connection() as connection:
            await connection.execute(_VOID, key, money.amount, money.currency)
        failpoint("simulator.voided")
        return await self._known_outcome(key)

    async def refund(self, key: UUID, charge_key: UUID, money: Money) -> None:
        """Refunds part or all of a charge, or raises `RefundRefused` when that exceeds it."""
        async with self._connection() as connection:
            state = await connection.fetchval(_REFUND, key, charge_key, money.amount)
        failpoint("simulator.refunded")
        if state in (None, REFUSED):
            raise RefundRefused("refund_refused")
        if state == ERRED:
            raise GatewayError("simulated failure")

    async def find_charge(self, key: UUID) -> ChargeOutcome | None:
        """Returns the outcome of a charge, if it has one."""
        async with self._connection() as connection:
            reply = await connection.fetchrow(_FIND, key)
        if reply is None or reply["state"] == ERRED or reply["wait"] > 0:
            return None
        return _outcome(reply)

    async def has_refunded(self, key: UUID) -> bool:
        """Whether this refund was made."""
        async with self._connection() as connection:
            return bool(await connection.fetchval(_REFUNDED, key))

    async def list_movements(self, kind: MovementKind) -> AsyncIterator[Movement]:
        """Iterates over all movements of a kind, ordered by key."""
        statement, key = _CHARGES if kind is MovementKind.CHARGE else _REFUNDS, UUID(int=0)
        while True:
            async with self._connection() as connection:
                rows = await connection.fetch(statement, key, PAGE_SIZE)
            for row in rows:
                yield _movement(kind, row)
            if len(rows) < PAGE_SIZE:
                break
            key = rows[-1]["key"]

    async def list_movements_since(self, moment: datetime) -> AsyncIterator[Movement]:
        """Iterates over the movements since then: the charges, then the refunds, each ordered by time."""
        for kind, statement in ((MovementKind.CHARGE, _CHARGES_SINCE), (MovementKind.REFUND, _REFUNDS_SINCE)):
            at, key = moment, UUID(int=0)
            while True:
                async with self._connection() as connection:
                    rows = await connection.fetch(statement, at, key, PAGE_SIZE)
                for row in rows:
                    at, key = row["effective_at"], row["key"]
                    yield _movement(kind, row)
                if len(rows) < PAGE_SIZE:
                    break

    async def _known_outcome(self, key: UUID) -> ChargeOutcome:
        outcome = await self.find_charge(key)
        if outcome is None:
            raise GatewayError("the simulator has no outcome yet")
        return outcome

    async def _send(self) -> None:
        """Sends the pending calls in batches until none is left."""
        try:
            while self._pending:
                calls = {call.key: call for call in reversed(self._pending)}  # a statement can insert a key only once
                self._pending = [call for call in self._pending if calls[call.key] is not call]
                await self._send_batch(calls)
        finally:
            self._sender = None

    async def _send_batch(self, calls: Mapping[UUID, _Call]) -> None:
        try:
            async with self._connection() as connection:
                replies = {row["key"]: row for row in await connection.fetch(_CHARGE, *self._columns(calls))}
            failpoint("simulator.charged")
        except GatewayError as error:
            for call in calls.values():
                if not call.reply.done():
                    call.reply.set_exception(error)
            return
        for key, call in calls.items():
            if not call.reply.done():
                call.reply.set_result(replies[key])

    def _columns(self, calls: Mapping[UUID, _Call]) -> list[list[Any]]:
        """The values of the calls, column by column, as the statement takes them."""
        behaviours = [(call, TOKENS[call.method]) for call in calls.values()]
        return [
            [call.key for call, _ in behaviours],
            [call.method for call, _ in behaviours],
            [call.money.amount for call, _ in behaviours],
            [call.money.currency for call, _ in behaviours],
            [behaviour.state for _, behaviour in behaviours],
            [behaviour.failure_code for _, behaviour in behaviours],
            [
                _secret(call.key) if behaviour.state == ChargeState.ACTION_REQUIRED else None
                for call, behaviour in behaviours
            ],
            [self.late_seconds if behaviour.is_late else 0.0 for _, behaviour in behaviours],
        ]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self.db.connection() as connection:
                yield connection
        except UNREACHABLE_ERRORS as error:
            raise GatewayError(f"the simulator is not available: {type(error).__name__}") from error


def _secret(key: UUID) -> str:
    return f"{key.hex}_secret_{secrets.token_urlsafe(24)}"


def _movement(kind: MovementKind, row: asyncpg.Record) -> Movement:
    money = Money(amount=row["amount"], currency=row["currency"])
    return Movement(kind, row["key"], row["charge_key"], money, row["effective_at"])


def _outcome(reply: asyncpg.Record) -> ChargeOutcome:
    return ChargeOutcome(ChargeState(reply["state"]), reply["failure_code"], reply["client_secret"])
