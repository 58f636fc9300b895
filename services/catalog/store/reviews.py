"""The statements of reviews."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from contracts.catalog import Review, ReviewStatus
from infra.database.postgres import Connection
from services.catalog.domain.reviews import ReviewRecord

_COLUMNS = """
    id, product_id, user_id, order_id, rating, title, body, status, reason, answer, version, created_at, updated_at
"""
_INSERT = """
INSERT INTO review (id, product_id, user_id, order_id, rating, title, body, status, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (user_id, product_id) DO NOTHING RETURNING id
"""
_UPDATE = """
UPDATE review SET rating = $2, title = $3, body = $4, status = $5, reason = $6, answer = $7, updated_at = $8,
                  version = $9
WHERE id = $1
"""
_DELETE = "DELETE FROM review WHERE id = $1"
_FIND = f"SELECT {_COLUMNS} FROM review WHERE id = $1"  # noqa: S608 - constants
_LOCK = f"{_FIND} FOR UPDATE"
_FIND_OF_CUSTOMER = "SELECT id FROM review WHERE user_id = $1 AND product_id = $2"
_PUBLISHED = f"""
SELECT {_COLUMNS} FROM review WHERE product_id = $1 AND status = 'published' AND id < $2 ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - constants
_BY_STATUS = f"SELECT {_COLUMNS} FROM review WHERE status = $1 AND id < $2 ORDER BY id DESC LIMIT $3"  # noqa: S608 - constants
_ALL = f"SELECT {_COLUMNS} FROM review WHERE id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608 - constants
_OF_CUSTOMER = f"""
SELECT {_COLUMNS} FROM review WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""  # noqa: S608 - constants
_ERASE = """
UPDATE review SET user_id = NULL, title = '', body = '', reason = NULL, answer = NULL, version = version + 1
WHERE user_id = $1
"""
_BEFORE_FIRST, _AFTER_LAST = UUID(int=0), UUID(int=2**128 - 1)


async def insert(connection: Connection, record: ReviewRecord) -> bool:
    """Whether the review was inserted; False when this customer has reviewed the product before."""
    review = record.review
    inserted_id = await connection.fetchval(
        _INSERT,
        review.id,
        review.product_id,
        review.user_id,
        review.order_id,
        review.rating,
        review.title,
        review.body,
        review.status.value,
        review.created_at,
    )
    return inserted_id is not None


async def update(connection: Connection, record: ReviewRecord) -> None:
    """Updates a review whose row the caller has locked."""
    review = record.review
    await connection.execute(
        _UPDATE,
        review.id,
        review.rating,
        review.title,
        review.body,
        review.status.value,
        review.reason,
        review.answer,
        review.updated_at,
        record.version,
    )


async def delete(connection: Connection, review_id: UUID) -> None:
    """Deletes a review whose row the caller has locked."""
    await connection.execute(_DELETE, review_id)


async def find(connection: Connection, review_id: UUID) -> ReviewRecord | None:
    """The review."""
    row = await connection.fetchrow(_FIND, review_id)
    return _from_row(row) if row else None


async def lock(connection: Connection, review_id: UUID) -> ReviewRecord | None:
    """The review, whose row is locked until the end of the transaction."""
    row = await connection.fetchrow(_LOCK, review_id)
    return _from_row(row) if row else None


async def find_of_customer(connection: Connection, user_id: UUID, product_id: UUID) -> UUID | None:
    """The id of the customer's review of a product."""
    found: UUID | None = await connection.fetchval(_FIND_OF_CUSTOMER, user_id, product_id)
    return found


async def list_published(connection: Connection, product_id: UUID, before: UUID | None, limit: int) -> list[Review]:
    """The published reviews of a product, the newest first."""
    return _to_reviews(await connection.fetch(_PUBLISHED, product_id, before or _AFTER_LAST, limit))


async def list_newest(
    connection: Connection, status: ReviewStatus | None, before: UUID | None, limit: int
) -> list[Review]:
    """Reviews with a status, or all, the newest first."""
    if status is None:
        return _to_reviews(await connection.fetch(_ALL, before or _AFTER_LAST, limit))
    return _to_reviews(await connection.fetch(_BY_STATUS, status.value, before or _AFTER_LAST, limit))


async def list_for_export(connection: Connection, user_id: UUID, after: UUID | None, limit: int) -> list[Review]:
    """The reviews of a customer, the oldest first."""
    return _to_reviews(await connection.fetch(_OF_CUSTOMER, user_id, after or _BEFORE_FIRST, limit))


async def erase(connection: Connection, user_id: UUID) -> None:
    """Removes what identifies the author of reviews, and every text by and to them. Ratings still count."""
    await connection.execute(_ERASE, user_id)


def _to_reviews(rows: Sequence[asyncpg.Record]) -> list[Review]:
    return [_from_row(row).review for row in rows]


def _from_row(row: asyncpg.Record) -> ReviewRecord:
    columns = {name: value for name, value in row.items() if name not in {"status", "version"}}
    review = Review(**columns, status=ReviewStatus(row["status"]), verified=True)
    return ReviewRecord(review, row["version"])
