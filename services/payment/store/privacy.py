"""Erasing personal data from payments. Ids and amounts stay, since the ledger needs them."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection

# A reason is free text of an administrator. A client secret is needed only until the second step is done.
_ERASE = """
WITH mine AS (SELECT id FROM payment WHERE user_id = $1 OR order_id = ANY($2::uuid[])),
     erased AS (UPDATE refund SET reason = NULL FROM mine WHERE payment_id = mine.id AND reason IS NOT NULL)
UPDATE payment SET client_secret = NULL FROM mine
WHERE payment.id = mine.id AND client_secret IS NOT NULL AND status <> 'requires_action'
"""


async def erase(connection: Connection, user_id: UUID, order_ids: Sequence[UUID]) -> None:
    """Erases reasons and client secrets in the payments of the user and of these orders."""
    await connection.execute(_ERASE, user_id, order_ids)
