"""The cart's part of `souk verify`: which carts exist, and the orders that each has applied."""

from collections.abc import AsyncIterator

from infra.database.checks import FactTable, Row
from infra.database.mongo import MongoDatabase
from infra.foundation.ids import now
from services.cart.domain.carts import cart_reference
from services.cart.store.cart_documents import MAX_REMEMBERED_ORDERS

FACTS = (
    FactTable("cart", ("cart_id", "user_id", "merged_into", "remembers_all"), indexes=("cart_id",)),
    FactTable("emptied", ("cart_id", "order_id"), indexes=("cart_id, order_id",)),
)
_FIELDS = {"_id": 0, "reference": 1, "user_id": 1, "merged_into": 1, "ordered": 1}


async def read_mongo_facts(database: MongoDatabase) -> AsyncIterator[tuple[str, Row]]:
    """Yields a row for each live cart and for each order that it has applied.

    Carts are named by their references, because a guest's cart id is a secret. `remembers_all` is 0 when the cart may
    have dropped an order from its list.
    """
    async for document in database.carts.find({"expires_at": {"$gt": now()}}, _FIELDS):
        user_id, target_id = document.get("user_id"), document.get("merged_into")
        order_ids = document.get("ordered", ())
        reference = document["reference"]
        remembers_all = int(len(order_ids) < MAX_REMEMBERED_ORDERS)
        yield (
            "cart",
            (reference, user_id and user_id.bytes, target_id and cart_reference(target_id), remembers_all),
        )
        for order_id in order_ids:
            yield "emptied", (reference, order_id.bytes)
