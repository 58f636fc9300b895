"""SQL of erasures: accounts that are closed for good, and which services have erased their data.

The e-mail stays in the account's own row until the last step and is copied nowhere. An erasure holds ids and times
only. It is never deleted: it is the customer's receipt.
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
# Claims one whose revoked sessions and keys were published to the edges so long ago that no request begun with them can
# still be running.
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
_SAVE_ORDERS = "UPDATE erasure SET orders = $2, due_at = now() + make_interval(secs => $3) WHERE digest = $1"
_MARK_SERVICE_DONE = """
UPDATE erasure SET
    services = services || jsonb_build_object($2::text, now()), tries = 0, due_at = now() + make_interval(secs => $3)
WHERE digest = $1
"""
_POSTPONE = "UPDATE erasure SET due_at = now() + make_interval(secs => $2) WHERE digest = $1 AND done_at IS NULL"
_SUBJECT = "SELECT email, email_key, email_verified FROM account WHERE id = $1"
# Sessions, tokens, addresses and everything else of the account are deleted by cascade.
_DELETE_ACCOUNT = "DELETE FROM account WHERE id = $1 RETURNING true"
_DELETE_COUNTERS = """
WITH failures AS (DELETE FROM login_failure WHERE account = $1),
     requests AS (DELETE FROM counted_request WHERE account = $1)
DELETE FROM forgotten WHERE email_key = $2
"""
_FINISH = """
UPDATE erasure SET services = services || jsonb_build_object($2::text, now()), orders = NULL, done_at = now()
WHERE digest = $1 AND done_at IS NULL
RETURNING true
"""


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """When each service finished, in that order."""

    services: Mapping[str, datetime]
    asked_at: datetime
    done_at: datetime | None


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """A claimed erasure. `orders` are the orders that the customer placed as a guest, once they are known."""

    digest: bytes
    account_id: UUID
    services: frozenset[str]
    orders: Sequence[UUID] | None
    tries: int


@dataclass(frozen=True, slots=True)
class ErasureSubject:
    """The customer whose data is erased."""

    email: str = field(repr=False)
    email_key: str = field(repr=False)
    email_verified: bool


async def begin(connection: Connection, digest: bytes, account_id: UUID, delay_seconds: float) -> datetime | None:
    """Closes the account for good and returns when; None when it does not exist or is being erased already."""
    if await connection.fetchval(_CLOSE, account_id) is None:
        return None
    asked_at: datetime = await connection.fetchval(_BEGIN, digest, account_id, delay_seconds)
    return asked_at


async def receipt(connection: Connection, digest: bytes) -> ErasureReceipt | None:
    """Returns the receipt with this digest, or None."""
    row = await connection.fetchrow(_RECEIPT, digest)
    if row is None:
        return None
    services = {service: datetime.fromisoformat(at) for service, at in row["services"].items()}
    in_order = dict(sorted(services.items(), key=lambda item: item[1]))
    return ErasureReceipt(MappingProxyType(in_order), row["asked_at"], row["done_at"])


async def claim(
    connection: Connection, *, delay_seconds: float, revocation_ttl_seconds: float, lease_seconds: float
) -> ErasureRecord | None:
    """Claims a due erasure for `lease_seconds`, or returns None.

    A revocation is published for at most `revocation_ttl_seconds`; older ones need no publication.
    """
    row = await connection.fetchrow(_CLAIM, delay_seconds, revocation_ttl_seconds, lease_seconds)
    return ErasureRecord(**{**row, "services": frozenset(row["services"])}) if row else None


async def save_orders(connection: Connection, digest: bytes, orders: Sequence[UUID], lease_seconds: float) -> None:
    """Stores the guest orders to be erased and renews the lease."""
    await connection.execute(_SAVE_ORDERS, digest, list(orders), lease_seconds)


async def mark_service_done(connection: Connection, digest: bytes, service: str, lease_seconds: float) -> None:
    """Records that the service has erased its data, and renews the lease."""
    await connection.execute(_MARK_SERVICE_DONE, digest, service, lease_seconds)


async def postpone(connection: Connection, digest: bytes, seconds: float) -> None:
    """Makes the erasure due again in `seconds`."""
    await connection.execute(_POSTPONE, digest, seconds)


async def subject(connection: Connection, account_id: UUID) -> ErasureSubject | None:
    """Returns the customer of an account, or None once the account is deleted."""
    row: Any = await connection.fetchrow(_SUBJECT, account_id)
    return ErasureSubject(**row) if row else None


async def delete_account(connection: Connection, account_id: UUID) -> bool:
    """Deletes the account and returns whether it existed."""
    return await connection.fetchval(_DELETE_ACCOUNT, account_id) is not None


async def delete_counters(connection: Connection, account_digest: bytes, email_key: str) -> None:
    """Deletes failed logins and counted requests of the e-mail's digest, and its queued password resets."""
    await connection.execute(_DELETE_COUNTERS, account_digest, email_key)


async def finish(connection: Connection, digest: bytes, service: str) -> bool:
    """Marks the erasure as done and returns whether it was not before."""
    return await connection.fetchval(_FINISH, digest, service) is not None
