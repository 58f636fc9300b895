"""What payments tell of somebody beside ids and sums, which the ledger stands on."""

from collections.abc import Sequence
from uuid import UUID

from infra.database.postgres import Connection

# A reason is an administrator's own words; a client secret is of use only to who is at their second step.
_ERASE = """
WITH mine AS (SELECT id FROM payment WHERE user_id = $1 OR order_id = ANY($2::uuid[])),
     unsaid AS (UPDATE refund SET reason = NULL FROM mine WHERE payment_id = mine.id AND reason IS NOT NULL)
UPDATE payment SET client_secret = NULL FROM mine
WHERE payment.id = mine.id AND client_secret IS NOT NULL AND status <> 'requires_action'
"""


async def erase(connection: Connection, user_id: UUID, order_ids: Sequence[UUID]) -> None:
    await connection.execute(_ERASE, user_id, order_ids)
