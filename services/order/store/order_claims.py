"""How a guest's order becomes a customer's."""

from datetime import datetime
from uuid import UUID

from infra.database.postgres import Connection
from services.order.domain.orders import OrderRecord
from services.order.store.records import COLUMNS, to_record

# Its use of a coupon counts as the customer's. The e-mail stays: mails that were queued before still go there.
_CLAIM = f"""
WITH counted AS (UPDATE coupon_use SET customer_key = uuid_send($2) WHERE order_id = $1)
UPDATE orders SET user_id = $2, updated_at = $3, version = version + 1 WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


async def claim(connection: Connection, order_id: UUID, user_id: UUID, *, at: datetime) -> OrderRecord:
    """Makes the order the customer's and returns it. The caller holds the lock on its row."""
    return to_record(await connection.fetchrow(_CLAIM, order_id, user_id, at))
