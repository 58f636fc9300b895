"""Orders of one person: finding them, erasing what is personal, exporting them."""

from collections.abc import Sequence
from uuid import UUID

from contracts.order import Address
from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, to_record

_OF_GUESTS = """
SELECT id FROM orders
WHERE lower(email) = ANY($1::text[]) AND (user_id IS NULL OR user_id = $2) AND id > $3 ORDER BY id LIMIT $4
"""
# Lines, amounts, statuses and the country stay: accounting and taxes need them.
_ERASE = """
WITH found AS (
    SELECT id FROM orders WHERE (user_id = $1 OR id = ANY($2::uuid[])) AND erased_at IS NULL LIMIT $4 FOR UPDATE
), forgotten AS (
    UPDATE coupon_use SET customer_key = NULL FROM found WHERE coupon_use.order_id = found.id
)
UPDATE orders SET
    email = NULL, payment_method = NULL, tracking = NULL, notes = NULL,
    fulfilments = (
        SELECT jsonb_agg(parcel || '{"tracking": null}' ORDER BY number)
        FROM jsonb_array_elements(orders.fulfilments) WITH ORDINALITY AS sent (parcel, number)
    ),
    shipping_address = $3::text::jsonb || jsonb_build_object('country', shipping_address -> 'country'),
    billing_address = CASE WHEN billing_address IS NOT NULL
        THEN $3::text::jsonb || jsonb_build_object('country', billing_address -> 'country') END,
    version = version + 1, erased_at = now()
FROM found WHERE orders.id = found.id
"""
_FOR_EXPORT = f"""
SELECT {COLUMNS} FROM orders
WHERE (user_id = $1 OR (user_id IS NULL AND lower(email) = ANY($2::text[]))) AND id > $3
ORDER BY id LIMIT $4
"""  # noqa: S608 - constants

_BEFORE_FIRST = UUID(int=0)


async def list_of_guests(
    connection: Connection, emails: Sequence[str], user_id: UUID | None, after: UUID | None, limit: int
) -> list[UUID]:
    """Returns the ids of orders that guests placed with one of these e-mails, given in lower case.

    Those that another account than the user's has claimed are left out.
    """
    rows = await connection.fetch(_OF_GUESTS, emails, user_id, after or _BEFORE_FIRST, limit)
    return [row["id"] for row in rows]


async def erase(
    connection: Connection, user_id: UUID, order_ids: Sequence[UUID], placeholder: Address, limit: int
) -> bool:
    """Erases at most `limit` orders of the user or with one of these ids. Returns whether there may be more.

    `placeholder` replaces the address, save for the country.
    """
    address = placeholder.model_dump_json(exclude_none=True)
    command_tag: str = await connection.execute(_ERASE, user_id, order_ids, address, limit)
    return command_tag == f"UPDATE {limit}"


async def list_for_export(
    connection: Connection, user_id: UUID, emails: Sequence[str], after: UUID | None, limit: int
) -> list[OrderRecord]:
    """Returns the orders of the user, and of guests with one of these e-mails, the oldest first."""
    rows = await connection.fetch(_FOR_EXPORT, user_id, emails, after or _BEFORE_FIRST, limit)
    return [to_record(row) for row in rows]
