"""Erasures: accounts that are closed for good, and how far each service has come in forgetting them.

The e-mail stays in the account's own row until the last step, and is copied nowhere. An erasure has ids and moments
only, and stays: it is the receipt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from infra.database.postgres import Connection

_CLOSE = """
UPDATE account SET is_active = false, erasing = true, version = version + 1, updated_at = now()
WHERE id = $1 AND NOT erasing
RETURNING true
"""
_BEGIN = """
INSERT INTO erasure (digest, account_id, due_at) VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING asked_at
"""
_RECEIPT = "SELECT services, asked_at, done_at FROM erasure WHERE digest = $1"
# Of one whose sessions and keys every edge has been told of for so long that nothing begun with them is still at work.
_CLAIM = """
UPDATE erasure SET tries = tries + 1, due_at = now() + make_interval(secs => $3) WHERE digest = (
    SELECT digest FROM erasure WHERE done_at IS NULL AND due_at <= now() AND NOT EXISTS (
        SELECT FROM session WHERE session.account_id = erasure.account_id
            AND revoked_at > now() - make_interval(secs => $2)
            AND (told_at IS NULL OR told_at > now() - make_interval(secs => $1))
    ) AND NOT EXISTS (
        SELECT FROM api_key WHERE made_by = erasure.account_id AND revoked_at > now() - make_interval(secs => $2)
            AND (told_at IS NULL OR told_at > now() - make_interval(secs => $1))
    )
    ORDER BY due_at LIMIT 1 FOR UPDATE OF erasure SKIP LOCKED
)
RETURNING digest, account_id, services, orders, tries
"""
_KEEP_ORDERS = "UPDATE erasure SET orders = $2, due_at = now() + make_interval(secs => $3) WHERE digest = $1"
_NOTE = """
UPDATE erasure SET
    services = services || jsonb_build_object($2::text, now()), tries = 0, due_at = now() + make_interval(secs => $3)
WHERE digest = $1
"""
_PUT_OFF = "UPDATE erasure SET due_at = now() + make_interval(secs => $2) WHERE digest = $1 AND done_at IS NULL"
_PERSON = "SELECT email, email_key, email_verified FROM account WHERE id = $1"
# Sessions, tokens, proofs, addresses and all else that is the account's go with its row.
_REMOVE = "DELETE FROM account WHERE id = $1 RETURNING true"
_FORGET_ATTEMPTS = """
WITH failures AS (DELETE FROM login_failure WHERE account = $1),
     requests AS (DELETE FROM counted_request WHERE account = $1)
DELETE FROM forgotten WHERE email_key = $2
"""
_END = """
UPDATE erasure SET services = services || jsonb_build_object($2::text, now()), orders = NULL, done_at = now()
WHERE digest = $1 AND done_at IS NULL
RETURNING true
"""


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """When each service was done with it, the first one first."""

    services: Mapping[str, datetime]
    asked_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """One that is to go on. `orders` are the guests' orders of its person, once they are known."""

    digest: bytes
    account_id: UUID
    services: frozenset[str]
    orders: Sequence[UUID] | None
    tries: int


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    email: str = field(repr=False)
    email_key: str = field(repr=False)
    email_verified: bool


async def begin(connection: Connection, digest: bytes, account_id: UUID, delay_seconds: float) -> datetime | None:
    """Closes the account for good; None when there is none, or it is closed so already."""
    if await connection.fetchval(_CLOSE, account_id) is None:
        return None
    asked_at: datetime = await connection.fetchval(_BEGIN, digest, account_id, delay_seconds)
    return asked_at


async def receipt(connection: Connection, digest: bytes) -> ErasureReceipt | None:
    row = await connection.fetchrow(_RECEIPT, digest)
    if row is None:
        return None
    services = {service: datetime.fromisoformat(at) for service, at in row["services"].items()}
    in_turn = dict(sorted(services.items(), key=lambda item: item[1]))
    return ErasureReceipt(MappingProxyType(in_turn), row["asked_at"], row["done_at"])


async def claim(
    connection: Connection, *, delay_seconds: float, revocation_ttl_seconds: float, lease_seconds: float
) -> ErasureRecord | None:
    """One that is due, for `lease` seconds. An ended session is told of for `board` seconds at the most."""
    row = await connection.fetchrow(_CLAIM, delay_seconds, revocation_ttl_seconds, lease_seconds)
    return ErasureRecord(**{**row, "services": frozenset(row["services"])}) if row else None


async def save_orders(connection: Connection, digest: bytes, orders: Sequence[UUID], lease_seconds: float) -> None:
    await connection.execute(_KEEP_ORDERS, digest, list(orders), lease_seconds)


async def mark_service_done(connection: Connection, digest: bytes, service: str, lease_seconds: float) -> None:
    """The service has erased what it held."""
    await connection.execute(_NOTE, digest, service, lease_seconds)


async def postpone(connection: Connection, digest: bytes, seconds: float) -> None:
    await connection.execute(_PUT_OFF, digest, seconds)


async def subject(connection: Connection, account_id: UUID) -> ErasureSubject | None:
    row: Any = await connection.fetchrow(_PERSON, account_id)
    return ErasureSubject(**row) if row else None


async def delete_account(connection: Connection, account_id: UUID) -> bool:
    """Whether it was there."""
    return await connection.fetchval(_REMOVE, account_id) is not None


async def delete_counters(connection: Connection, account: bytes, email_key: str) -> None:
    """What was counted of an e-mail: by its keyed digest, and where somebody waits for a mail, by itself."""
    await connection.execute(_FORGET_ATTEMPTS, account, email_key)


async def finish(connection: Connection, digest: bytes, service: str) -> bool:
    """Whether it was not ended before."""
    return await connection.fetchval(_END, digest, service) is not None
