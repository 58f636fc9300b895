"""SQL of what administrators find and change: any account, not their own."""

from dataclasses import dataclass
from uuid import UUID

from contracts.identity import Role
from infra.database.postgres import Connection
from services.user.domain.accounts import AccountRecord
from services.user.store.accounts import account_from_row

HIGHEST_ID = UUID(int=2**128 - 1)

_COLUMNS = """id, email, password_hash, first_name, last_name, role, is_active, email_verified, version,
          totp, created_at, updated_at"""
_LIST = f"""
SELECT {_COLUMNS} FROM account
WHERE id < $1 AND NOT erasing
      AND ($2::text IS NULL OR starts_with(email_key, $2))
      AND ($3::text IS NULL OR role = $3)
      AND ($4::boolean IS NULL OR is_active = $4)
ORDER BY id DESC LIMIT $5
"""  # noqa: S608 - our own columns
_CHANGE = f"""
UPDATE account SET
    first_name = coalesce($2, first_name),
    last_name = coalesce($3, last_name),
    role = coalesce($4, role),
    version = version + 1,
    updated_at = now()
WHERE id = $1 AND ($5::bigint[] IS NULL OR version = ANY ($5))
RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
_SET_ACTIVE = f"""
UPDATE account SET is_active = $2, version = version + 1, updated_at = now()
WHERE id = $1 AND is_active <> $2 AND NOT erasing
RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
# In the order of their ids, so that two concurrent changes of administrators cannot deadlock.
_LOCK_ADMINS = "SELECT id FROM account WHERE role = 'admin' AND is_active ORDER BY id FOR UPDATE"


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Which accounts a list holds; None matches all. `after` is the last id of the previous page."""

    email: str | None
    role: Role | None
    is_active: bool | None
    after: UUID | None


async def newest(connection: Connection, criteria: UserFilter, limit: int) -> list[AccountRecord]:
    """Returns up to `limit` matching accounts, newest first."""
    rows = await connection.fetch(
        _LIST, criteria.after or HIGHEST_ID, criteria.email, criteria.role, criteria.is_active, limit
    )
    return [account_from_row(row) for row in rows]


async def lock_admins(connection: Connection) -> list[UUID]:
    """Returns the administrators who can sign in, locked until the commit: none can lose the role meanwhile."""
    return [row["id"] for row in await connection.fetch(_LOCK_ADMINS)]


async def change(
    connection: Connection,
    account_id: UUID,
    *,
    first_name: str | None,
    last_name: str | None,
    role: Role | None,
    versions: frozenset[int] | None,
) -> AccountRecord | None:
    """Changes an account and returns it; None when it does not exist in one of the versions."""
    row = await connection.fetchrow(_CHANGE, account_id, first_name, last_name, role, versions)
    return account_from_row(row) if row else None


async def set_active(connection: Connection, account_id: UUID, *, active: bool) -> AccountRecord | None:
    """Bans or unbans an account and returns it; None when nothing changes."""
    row = await connection.fetchrow(_SET_ACTIVE, account_id, active)
    return account_from_row(row) if row else None
