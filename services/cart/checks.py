"""What cart offers to the audit: whose carts there are, and the orders that each has given its lines to."""

from collections.abc import AsyncIterator

from infra.database.checks import FactTable, Row
from infra.database.mongo import MongoDatabase
from infra.foundation.ids import now
from services.cart.domain.carts import cart_reference
from services.cart.store.carts import MAX_REMEMBERED_ORDERS

FACTS = (
    FactTable("cart", ("cart_id", "user_id", "merged_into", "remembers_all"), indexes=("cart_id",)),
    FactTable("emptied", ("cart_id", "order_id"), indexes=("cart_id, order_id",)),
)
_FIELDS = {"_id": 0, "reference": 1, "user_id": 1, "merged_into": 1, "ordered": 1}


async def told(database: MongoDatabase) -> AsyncIterator[tuple[str, Row]]:
    """Carts by their references, for a guest's id is a secret; and whether each remembers all of its orders."""
    async for document in database.carts.find({"expires_at": {"$gt": now()}}, _FIELDS):
        user, into = document.get("user_id"), document.get("merged_into")
        ordered = document.get("ordered", ())
        known = document["reference"]
        yield (
            "cart",
            (known, user and user.bytes, into and cart_reference(into), int(len(ordered) < MAX_REMEMBERED_ORDERS)),
        )
        for order_id in ordered:
            yield "emptied", (known, order_id.bytes)
