"""SQL of accounts."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from contracts.failure import NotFound
from contracts.identity import Role
from contracts.user import EmailTaken
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord

_ADD = """
INSERT INTO account (id, email, email_key, password_hash, first_name, last_name, role)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (email_key) DO NOTHING
RETURNING id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
          totp, created_at, updated_at
"""
_BY_EMAIL = """
SELECT id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
       totp, created_at, updated_at
FROM account WHERE email_key = $1
"""
_BY_ID = """
SELECT id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
       totp, created_at, updated_at
FROM account WHERE id = $1 AND NOT erasing
"""
_BY_IDS = _BY_ID.replace("id = $1", "id = ANY($1::uuid[])")
_LOCK_IF_UNCHANGED = """
SELECT true FROM account WHERE id = $1 AND password_hash = $2 AND totp = $3 AND is_active FOR SHARE
"""
_RENAME = """
UPDATE account SET first_name = $2, last_name = $3, version = version + 1, updated_at = now()
WHERE id = $1 AND ($4::bigint[] IS NULL OR version = ANY ($4))
RETURNING id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
          totp, created_at, updated_at
"""
_PROMOTE = """
WITH customer AS (SELECT id FROM account WHERE email_key = $1 AND role <> 'admin'),
     ended AS (
         UPDATE session SET revoked_at = now() FROM customer WHERE account_id = customer.id AND revoked_at IS NULL
     ),
     factor AS (DELETE FROM second_factor USING customer WHERE account_id = customer.id)
UPDATE account
SET role = 'admin',
    password_hash = CASE WHEN role <> 'admin' THEN $2 ELSE password_hash END,
    totp = totp AND role = 'admin',
    version = version + (role <> 'admin')::int,
    updated_at = CASE WHEN role <> 'admin' THEN now() ELSE updated_at END
WHERE email_key = $1
RETURNING id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
          totp, created_at, updated_at
"""
_CHANGE_HASH = """
UPDATE account SET password_hash = $2, email_verified = email_verified OR $3, version = version + 1, updated_at = now()
WHERE id = $1 AND is_active
"""
_UPDATE_HASH = "UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2"
_MARK_EMAIL_VERIFIED = """
UPDATE account SET email_verified = true, version = version + 1, updated_at = now()
WHERE id = $1 AND NOT email_verified
RETURNING true
"""


async def add(
    connection: Connection,
    account_id: UUID,
    *,
    email: str,
    email_key: str,
    password_hash: str,
    first_name: str,
    last_name: str,
    role: Role,
) -> AccountRecord:
    """Inserts an account and returns it; raises `EmailTaken` when another account has the e-mail."""
    row = await connection.fetchrow(_ADD, account_id, email, email_key, password_hash, first_name, last_name, role)
    if row is None:
        raise EmailTaken
    return account_from_row(row)


async def by_email(connection: Connection, email_key: str) -> AccountRecord | None:
    """Returns the account with this normalized e-mail, or None."""
    row = await connection.fetchrow(_BY_EMAIL, email_key)
    return account_from_row(row) if row else None


async def by_id(connection: Connection, account_id: UUID) -> AccountRecord | None:
    """Returns the account, or None; also None while it is being erased, so that nothing can use it any more."""
    row = await connection.fetchrow(_BY_ID, account_id)
    return account_from_row(row) if row else None


async def by_ids(connection: Connection, account_ids: Sequence[UUID]) -> list[AccountRecord]:
    """Returns those of the accounts that exist and are not being erased."""
    return [account_from_row(row) for row in await connection.fetch(_BY_IDS, account_ids)]


async def lock_if_unchanged(connection: Connection, account: AccountRecord) -> bool:
    """Returns whether the account is active with the same password and second-factor state as when it was read.

    It is locked, and so stays unchanged until the commit.
    """
    return await connection.fetchval(_LOCK_IF_UNCHANGED, account.id, account.password_hash, account.totp) is not None


async def rename(
    connection: Connection, account_id: UUID, first_name: str, last_name: str, versions: frozenset[int] | None
) -> AccountRecord | None:
    """Changes the names and returns the account; None when it does not exist in one of the versions."""
    row = await connection.fetchrow(_RENAME, account_id, first_name, last_name, versions)
    return account_from_row(row) if row else None


async def set_password(
    connection: Connection, account_id: UUID, password_hash: str, *, email_verified: bool = False
) -> bool:
    """Sets the password and returns whether an active account has this id.

    `email_verified` is true when a mailed token has proved that the owner reads the mail.
    """
    status: str = await connection.execute(_CHANGE_HASH, account_id, password_hash, email_verified)
    return status == "UPDATE 1"


async def update_hash(connection: Connection, account: AccountRecord, password_hash: str) -> None:
    """Stores another hash of the same password, unless the password has changed since."""
    await connection.execute(_UPDATE_HASH, account.id, account.password_hash, password_hash)


async def mark_email_verified(connection: Connection, account_id: UUID) -> bool:
    """Marks the e-mail as verified and returns whether it was not before."""
    return await connection.fetchval(_MARK_EMAIL_VERIFIED, account_id) is not None


async def promote_to_admin(connection: Connection, email_key: str, password_hash: str) -> AccountRecord:
    """Makes the account an administrator's and returns it; an administrator's account stays as it is.

    A customer's account gets the operator's password, and its sessions and second factor end: the person who
    registered the e-mail first may have been a stranger.
    """
    row = await connection.fetchrow(_PROMOTE, email_key, password_hash)
    if row is None:
        raise NotFound
    return account_from_row(row)


def account_from_row(row: asyncpg.Record) -> AccountRecord:
    """Builds an account from a row with all its columns."""
    return AccountRecord(**{**row, "role": Role(row["role"])})
