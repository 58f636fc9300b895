"""Gift cards: issued, found by their codes, disabled and listed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from contracts.gift_cards import IssueGiftCard
from infra.database.postgres import Connection
from services.payment.domain.gift_cards import GiftCardRecord

COLUMNS = """
gift_card.id, gift_card.last4, gift_card.currency, gift_card.initial, gift_card.balance, gift_card.held,
gift_card.state, gift_card.expires_at, gift_card.created_at
"""
# A card and the ledger's entries of what it was issued for, in one statement.
_ISSUE = f"""
WITH issued AS (
    INSERT INTO gift_card (id, code_digest, last4, currency, initial, balance, expires_at)
    VALUES ($1, $2, $3, $4, $5, $5, $6)
    RETURNING {COLUMNS}
), booked AS (
    INSERT INTO ledger_entry (transaction_id, account, gift_card_id, currency, amount, cause)
    SELECT id, account, CASE account WHEN 'gift_card_liability' THEN id END, currency, sign * initial,
           'gift_card_issue'
    FROM issued CROSS JOIN (VALUES ('gift_card_funding', 1), ('gift_card_liability', -1)) AS leg (account, sign)
)
SELECT * FROM issued
"""  # noqa: S608 - constants
_FIND = f"SELECT {COLUMNS} FROM gift_card WHERE id = $1"  # noqa: S608 - constants
_LOCK = f"{_FIND} FOR NO KEY UPDATE"
_FIND_BY_DIGESTS = f"""
SELECT {COLUMNS}, code_digest FROM gift_card WHERE code_digest = ANY($1::bytea[])
"""  # noqa: S608 - constants
# Cards are locked in the order of their ids, so that two processes cannot deadlock.
_LOCK_ALL = f"""
SELECT {COLUMNS} FROM gift_card WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""  # noqa: S608 - constants
_DISABLE = f"UPDATE gift_card SET state = 'disabled' WHERE id = $1 RETURNING {COLUMNS}"  # noqa: S608 - constants
_PAGE = f"""
SELECT {COLUMNS} FROM gift_card WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2
"""  # noqa: S608 - constants


async def issue(
    connection: Connection, card_id: UUID, digest: bytes, last4: str, fields: IssueGiftCard
) -> GiftCardRecord:
    """Stores a new card and books it."""
    amount = fields.amount
    values = (card_id, digest, last4, amount.currency, amount.amount, fields.expires_at)
    return _to_record(await connection.fetchrow(_ISSUE, *values))


async def find(connection: Connection, card_id: UUID) -> GiftCardRecord | None:
    """Returns the card."""
    row = await connection.fetchrow(_FIND, card_id)
    return _to_record(row) if row else None


async def lock(connection: Connection, card_id: UUID) -> GiftCardRecord | None:
    """Returns the card and locks its row until the transaction ends."""
    row = await connection.fetchrow(_LOCK, card_id)
    return _to_record(row) if row else None


async def find_by_digests(connection: Connection, digests: Sequence[bytes]) -> list[GiftCardRecord | None]:
    """Returns the card of each digest, in their order; None where there is no such card."""
    rows = {row["code_digest"]: row for row in await connection.fetch(_FIND_BY_DIGESTS, list(digests))}
    return [_to_record(rows[digest]) if digest in rows else None for digest in digests]


async def lock_all(connection: Connection, card_ids: Sequence[UUID]) -> dict[UUID, GiftCardRecord]:
    """Returns the cards by id and locks their rows until the transaction ends."""
    return {row["id"]: _to_record(row) for row in await connection.fetch(_LOCK_ALL, list(card_ids))}


async def disable(connection: Connection, card_id: UUID) -> GiftCardRecord:
    """Disables the card, which the transaction has locked."""
    return _to_record(await connection.fetchrow(_DISABLE, card_id))


async def list_page(connection: Connection, before: UUID | None, limit: int) -> list[GiftCardRecord]:
    """Returns at most `limit` cards, the newest first."""
    return [_to_record(row) for row in await connection.fetch(_PAGE, before, limit)]


def _to_record(row: Any) -> GiftCardRecord:
    return GiftCardRecord(**{name: row[name] for name in GiftCardRecord.__dataclass_fields__})
