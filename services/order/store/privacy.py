"""Orders of somebody who has them erased, or wants to see them."""

from collections.abc import Sequence
from uuid import UUID

from contracts.order import Address
from infra.database.postgres import Connection
from services.order.domain.orders import Kept
from services.order.store.records import COLUMNS, kept

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


async def of_guest(connection: Connection, emails: Sequence[str], after: UUID | None, most: int) -> list[UUID]:
    """The orders that guests placed with one of these e-mails, which are in lower case."""
    return [row["id"] for row in await connection.fetch(_OF_GUEST, emails, after or _FIRST, most)]


async def erase(connection: Connection, user_id: UUID, order_ids: Sequence[UUID], nowhere: Address, most: int) -> bool:
    """At most so many of somebody's orders, and of those with these ids; whether there may be more."""
    done: str = await connection.execute(_ERASE, user_id, order_ids, nowhere.model_dump_json(exclude_none=True), most)
    return done == f"UPDATE {most}"


async def held(
    connection: Connection, user_id: UUID, emails: Sequence[str], after: UUID | None, most: int
) -> list[Kept]:
    """The oldest first."""
    return [kept(row) for row in await connection.fetch(_HELD, user_id, emails, after or _FIRST, most)]
