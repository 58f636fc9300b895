"""Orders of somebody who has them erased, or wants to see them."""

from collections.abc import Sequence
from uuid import UUID

from contracts.order import Address
from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, to_record

_OF_GUEST = """
SELECT id FROM orders WHERE lower(email) = ANY($1::text[]) AND user_id IS NULL AND id > $2 ORDER BY id LIMIT $3
"""
# Lines, sums, states and the country stay: the shop's books and its taxes are made of them.
_ERASE = """
WITH found AS (
    SELECT id FROM orders WHERE (user_id = $1 OR id = ANY($2::uuid[])) AND erased_at IS NULL LIMIT $4 FOR UPDATE
)
UPDATE orders SET
    email = NULL, payment_method = NULL, tracking = NULL,
    shipping_address = $3::text::jsonb || jsonb_build_object('country', shipping_address -> 'country'),
    version = version + 1, erased_at = now()
FROM found WHERE orders.id = found.id
"""
_HELD = f"""
SELECT {COLUMNS} FROM orders
WHERE (user_id = $1 OR (user_id IS NULL AND lower(email) = ANY($2::text[]))) AND id > $3
ORDER BY id LIMIT $4
"""  # noqa: S608 - constants

_FIRST = UUID(int=0)


async def list_of_guests(connection: Connection, emails: Sequence[str], after: UUID | None, limit: int) -> list[UUID]:
    """The orders that guests placed with one of these e-mails, which are in lower case."""
    return [row["id"] for row in await connection.fetch(_OF_GUEST, emails, after or _FIRST, limit)]


async def erase(
    connection: Connection, user_id: UUID, order_ids: Sequence[UUID], placeholder: Address, limit: int
) -> bool:
    """At most so many of somebody's orders, and of those with these ids; whether there may be more."""
    done: str = await connection.execute(
        _ERASE, user_id, order_ids, placeholder.model_dump_json(exclude_none=True), limit
    )
    return done == f"UPDATE {limit}"


async def list_for_export(
    connection: Connection, user_id: UUID, emails: Sequence[str], after: UUID | None, limit: int
) -> list[OrderRecord]:
    """The oldest first."""
    return [to_record(row) for row in await connection.fetch(_HELD, user_id, emails, after or _FIRST, limit)]
