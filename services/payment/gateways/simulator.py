"""The simulator: a gateway that behaves as its tokens say, so that a shop can be tried without a bank.

It stands for another company: its books are in a schema of their own, and nobody else reads them. Each of its
statements commits by itself, and durably: what a gateway has answered it does not forget, whatever dies. A process that
has heard an answer settles by it once the store is back, so books that forget would disagree for good.

Charges that are asked for at the same moment go in one statement: the simulator is to cost the shop next to nothing.
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
from infra.database.postgres import UNAVAILABLE_ERRORS, Connection, Database
from infra.foundation.failpoints import failpoint
from services.payment.domain.payments import METHOD_UNKNOWN, ChargeOutcome, ChargeState
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
    """Captures, and then the first answer is lost on its way; who asks again under the same key is told."""


TOKENS: Mapping[str, TokenBehaviour] = {
    "sim_ok": TokenBehaviour(),
    "sim_declined": TokenBehaviour(ChargeState.DECLINED, "card_declined"),
    "sim_insufficient_funds": TokenBehaviour(ChargeState.DECLINED, "insufficient_funds"),
    "sim_timeout": TokenBehaviour(is_late=True),
    "sim_action": TokenBehaviour(ChargeState.ACTION_REQUIRED),
    "sim_error_once": TokenBehaviour(ERRED),
    "sim_lost_answer": TokenBehaviour(loses_reply=True),
}

_ANSWER = """
state, failure_code, client_secret, calls, extract(epoch FROM effective_at - clock_timestamp())::float8 AS wait
"""
_CHARGE = f"""
INSERT INTO simulator.charge AS known (key, token, amount, currency, state, failure_code, client_secret, effective_at)
SELECT asked.key, token, amount, currency, state, failure_code, secret, now() + make_interval(secs => late)
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[])
    AS asked (key, token, amount, currency, state, failure_code, secret, late)
ON CONFLICT (key) DO UPDATE SET
    calls = known.calls + 1,
    state = CASE known.state WHEN 'erred' THEN 'captured' ELSE known.state END,
    effective_at = CASE known.state WHEN 'erred' THEN now() ELSE known.effective_at END
RETURNING key, {_ANSWER}
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
_FIND = f"SELECT {_ANSWER} FROM simulator.charge WHERE key = $1"  # noqa: S608 - constants
_REFUND = """
WITH asked AS (
    SELECT key, token, state = 'captured' AND effective_at <= clock_timestamp() AND amount >=
        $3::bigint + (SELECT coalesce(sum(other.amount), 0) FROM simulator.refund AS other
                      WHERE other.charge_key = $2 AND other.key <> $1 AND other.state <> 'refused') AS allowed
    FROM simulator.charge WHERE key = $2
)
INSERT INTO simulator.refund AS known (key, charge_key, amount, state)
SELECT $1, key, $3::bigint,
    CASE WHEN NOT allowed THEN 'refused' WHEN token = 'sim_error_once' THEN 'erred' ELSE 'refunded' END
FROM asked
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
    key: UUID
    money: Money
    method: str
    answered: "asyncio.Future[asyncpg.Record]"


class Simulator:
    """`late` is how many seconds `sim_timeout` takes to capture, and to answer."""

    name = "simulator"

    def __init__(self, db: Database, *, late_seconds: float) -> None:
        self.db = db
        self.late_seconds = late_seconds
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None

    def accepts(self, method: str) -> bool:
        return method in TOKENS

    async def charge(self, key: UUID, money: Money, method: str) -> ChargeOutcome:
        if method not in TOKENS:
            return ChargeOutcome(ChargeState.DECLINED, METHOD_UNKNOWN)
        call = _Call(key, money, method, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        answer = await call.answered
        if answer["state"] == ERRED:
            raise GatewayError("the simulator failed, as it was told to")
        if TOKENS[method].loses_reply and answer["calls"] == 1:
            raise GatewayError("the simulator's answer was lost, as it was told to")
        if answer["wait"] > 0 and answer["state"] == ChargeState.CAPTURED:
            await asyncio.sleep(answer["wait"])
            return await self._found(key)
        return _outcome(answer)

    async def confirm(self, key: UUID) -> ChargeOutcome:
        async with self._books() as books:
            await books.execute(_CONFIRM, key)
        failpoint("simulator.confirmed")
        return await self._found(key)

    async def void(self, key: UUID, money: Money) -> ChargeOutcome:
        async with self._books() as books:
            await books.execute(_VOID, key, money.amount, money.currency)
        failpoint("simulator.voided")
        return await self._found(key)

    async def refund(self, key: UUID, charge_key: UUID, money: Money) -> None:
        async with self._books() as books:
            state = await books.fetchval(_REFUND, key, charge_key, money.amount)
        failpoint("simulator.refunded")
        if state in (None, REFUSED):
            raise RefundRefused("refund_refused")
        if state == ERRED:
            raise GatewayError("the simulator failed, as it was told to")

    async def find_charge(self, key: UUID) -> ChargeOutcome | None:
        async with self._books() as books:
            answer = await books.fetchrow(_FIND, key)
        if answer is None or answer["state"] == ERRED or answer["wait"] > 0:
            return None
        return _outcome(answer)

    async def has_refunded(self, key: UUID) -> bool:
        async with self._books() as books:
            return bool(await books.fetchval(_REFUNDED, key))

    async def list_movements(self, kind: MovementKind) -> AsyncIterator[Movement]:
        statement, key = _CHARGES if kind is MovementKind.CHARGE else _REFUNDS, UUID(int=0)
        while True:
            async with self._books() as books:
                rows = await books.fetch(statement, key, PAGE_SIZE)
            for row in rows:
                yield _movement(kind, row)
            if len(rows) < PAGE_SIZE:
                break
            key = rows[-1]["key"]

    async def list_movements_since(self, moment: datetime) -> AsyncIterator[Movement]:
        for kind, statement in ((MovementKind.CHARGE, _CHARGES_SINCE), (MovementKind.REFUND, _REFUNDS_SINCE)):
            at, key = moment, UUID(int=0)
            while True:
                async with self._books() as books:
                    rows = await books.fetch(statement, at, key, PAGE_SIZE)
                for row in rows:
                    at, key = row["effective_at"], row["key"]
                    yield _movement(kind, row)
                if len(rows) < PAGE_SIZE:
                    break

    async def _found(self, key: UUID) -> ChargeOutcome:
        outcome = await self.find_charge(key)
        if outcome is None:
            raise GatewayError("the simulator does not know yet")
        return outcome

    async def _send(self) -> None:
        """Sends what has gathered, again and again until nothing has."""
        try:
            while self._waiting:
                calls = {call.key: call for call in reversed(self._waiting)}  # one statement takes a key once
                self._waiting = [call for call in self._waiting if calls[call.key] is not call]
                await self._send_one(calls)
        finally:
            self._sending = None

    async def _send_one(self, calls: Mapping[UUID, _Call]) -> None:
        try:
            async with self._books() as books:
                answers = {row["key"]: row for row in await books.fetch(_CHARGE, *self._asked(calls))}
            failpoint("simulator.charged")
        except GatewayError as error:
            for call in calls.values():
                if not call.answered.done():
                    call.answered.set_exception(error)
            return
        for key, call in calls.items():
            if not call.answered.done():
                call.answered.set_result(answers[key])

    def _asked(self, calls: Mapping[UUID, _Call]) -> list[list[Any]]:
        every = [(call, TOKENS[call.method]) for call in calls.values()]
        return [
            [call.key for call, _ in every],
            [call.method for call, _ in every],
            [call.money.amount for call, _ in every],
            [call.money.currency for call, _ in every],
            [behaviour.state for _, behaviour in every],
            [behaviour.failure_code for _, behaviour in every],
            [
                _secret(call.key) if behaviour.state == ChargeState.ACTION_REQUIRED else None
                for call, behaviour in every
            ],
            [self.late_seconds if behaviour.is_late else 0.0 for _, behaviour in every],
        ]

    @asynccontextmanager
    async def _books(self) -> AsyncIterator[Connection]:
        try:
            async with self.db.connection() as connection:
                yield connection
        except UNREACHABLE_ERRORS as error:
            raise GatewayError(f"the simulator cannot be reached: {type(error).__name__}") from error


def _secret(key: UUID) -> str:
    return f"{key.hex}_secret_{secrets.token_urlsafe(24)}"


def _movement(kind: MovementKind, row: asyncpg.Record) -> Movement:
    money = Money(amount=row["amount"], currency=row["currency"])
    return Movement(kind, row["key"], row["charge_key"], money, row["effective_at"])


def _outcome(answer: asyncpg.Record) -> ChargeOutcome:
    return ChargeOutcome(ChargeState(answer["state"]), answer["failure_code"], answer["client_secret"])
