"""Carts in MongoDB, one document each.

A change is one statement that checks the document before it writes. So two changes at once lose nothing, and neither
waits for a lock.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError, ExecutionTimeout

from infra.database.mongo import Document, MongoDatabase, Session, run_updates
from infra.foundation.batching import BatchLoader
from services.cart.domain.carts import CartEdit, CartLine, CartRecord, cart_reference, with_order
from services.cart.store.cart_documents import (
    MAX_REMEMBERED_ORDERS,
    edit_statement,
    line_document,
    order_statement,
    to_cart,
)

GROUP_TIMEOUT_MS = 1_000
"""A cart that a dead client's transaction keeps locked makes its neighbours wait no longer than this."""

INDEXES = {
    "carts": [
        IndexModel([("user_id", ASCENDING)], unique=True, sparse=True),
        IndexModel([("reference", ASCENDING)], unique=True),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
    ]
}
"""They allow one cart for each customer, and make MongoDB remove a cart after its expiry."""


MAX_READ_TOGETHER = 64
"""Carts that are read in one command: those that are asked for while other reads are under way."""


class WriteConflict(Exception):  # noqa: N818 - not an error: the caller reads the cart again and decides again
    """The stored cart is not what the edit was decided on."""


@dataclass(frozen=True, slots=True)
class CartOrder:
    """An order that was placed from a version of a cart, which is known by its reference."""

    reference: str
    version: int
    order_id: UUID


@dataclass(frozen=True, slots=True)
class WriteTime:
    """The time of a change, and when the cart expires after it."""

    now: datetime
    expires_at: datetime


class CartStore:
    """The `carts` collection, one statement for each method."""

    def __init__(self, database: MongoDatabase) -> None:
        self._database = database
        self._carts: AsyncIOMotorCollection[Document] = database.carts
        self._by_id: BatchLoader[str, Document] = BatchLoader(
            partial(self._find_documents, "_id"), max_batch_size=MAX_READ_TOGETHER
        )
        self._by_user: BatchLoader[UUID, Document] = BatchLoader(
            partial(self._find_documents, "user_id"), max_batch_size=MAX_READ_TOGETHER
        )

    async def find(self, cart_id: str, now: datetime) -> CartRecord | None:
        """The cart, merged or not, unless it has expired."""
        return _unless_expired(await self._by_id.load(cart_id), now)

    async def find_by_reference(self, reference: str, now: datetime) -> CartRecord | None:
        """The cart of that reference, merged or not, unless it has expired."""
        return to_cart(await self._carts.find_one({"reference": reference, "expires_at": {"$gt": now}}))

    async def find_by_user(self, user_id: UUID, now: datetime) -> CartRecord | None:
        """The customer's own cart, unless it has expired."""
        return _unless_expired(await self._by_user.load(user_id), now)

    async def _find_documents(self, field: str, values: Collection[Any]) -> Mapping[Any, Document]:
        found = await self._carts.find({field: {"$in": list(values)}}).to_list(None)
        return {document[field]: document for document in found}

    async def insert(self, cart: CartRecord, session: Session | None = None) -> bool:
        """Whether the cart was inserted; False when the customer has one already."""
        document: Document = {
            "_id": cart.id,
            "reference": cart_reference(cart.id),
            "lines": [line_document(line) for line in cart.lines],
            "version": cart.version,
            "expires_at": cart.expires_at,
        }
        if cart.user_id is not None:
            document["user_id"] = cart.user_id
        try:
            await self._carts.insert_one(document, session=session)
        except DuplicateKeyError:
            return False
        return True

    async def delete_expired(self, user_id: UUID, now: datetime) -> None:
        """Deletes the customer's expired cart where MongoDB has not done so yet, so that a new one can be inserted."""
        await self._carts.delete_one({"user_id": user_id, "expires_at": {"$lte": now}})

    async def delete_by_user(self, user_id: UUID) -> None:
        """Deletes the customer's own cart and the guests' carts merged into it, which are found by it and go first."""
        async for cart in self._carts.find({"user_id": user_id}, {"_id": 1}):
            await self._carts.delete_many({"merged_into": cart["_id"]})
        await self._carts.delete_many({"user_id": user_id})

    async def apply_edit(
        self,
        cart: CartRecord,
        edit: CartEdit,
        write_time: WriteTime,
        *,
        versions: frozenset[int] | None = None,
        session: Session | None = None,
    ) -> CartRecord:
        """The cart after the edit.

        Raises `WriteConflict` when the stored cart is not what the edit requires, or has none of `versions`.
        """
        required: Document = {
            "_id": cart.id,
            "user_id": cart.user_id,
            "merged_into": None,
            "expires_at": {"$gt": write_time.now},
        }
        if versions is not None:
            required["version"] = {"$in": list(versions)}
        condition, update = edit_statement(edit, write_time.expires_at)
        changed = to_cart(
            await self._carts.find_one_and_update(
                {**required, **condition}, update, return_document=ReturnDocument.AFTER, session=session
            )
        )
        if changed is None:
            raise WriteConflict
        return changed

    async def save_seen_lines(self, cart: CartRecord, lines: Sequence[CartLine]) -> None:
        """Stores what the owner has read; writes nothing when the cart has changed since."""
        update = {"$set": {"lines": [line_document(line) for line in lines]}}
        await self._carts.update_one({"_id": cart.id, "version": cart.version}, update)

    async def mark_merged(
        self, guest: CartRecord, target: CartRecord, taken: Sequence[CartLine], session: Session
    ) -> None:
        """Closes the guest's cart, which keeps a copy of its lines with the units that were `taken`.

        Raises `WriteConflict` when it has changed since it was read.
        """
        values = {
            "merged_into": target.id,
            "merged_at": target.version,
            "lines": [line_document(line) for line in taken],
        }
        update = {"$set": values, "$inc": {"version": 1}}
        required = {"_id": guest.id, "version": guest.version, "merged_into": None}
        if not (await self._carts.update_one(required, update, session=session)).modified_count:
            raise WriteConflict

    async def empty_for_orders(self, orders: Collection[CartOrder]) -> bool:
        """Removes every line of the carts that are still at the versions ordered; whether that was each of them.

        One command serves all orders, and no cart is read first, however many orders it has had.
        """
        updates = [
            {
                "q": {"reference": order.reference, "version": order.version, "ordered": {"$ne": order.order_id}},
                "u": order_statement(order.order_id, order.version),
            }
            for order in orders
        ]
        try:
            result = await run_updates(self._database, self._carts.name, updates, timeout_ms=GROUP_TIMEOUT_MS)
        except ExecutionTimeout:  # one of the carts is locked, which concerns no other order
            return False
        return result.matched == len(updates)

    async def apply_order(self, cart: CartRecord, left: Sequence[CartLine], order_id: UUID, version: int) -> bool:
        """Stores the lines that are `left` after the order, without the coupon that it had; False when the cart has
        changed since it was read.

        `version` is the version of the cart that the order was placed from.
        """
        after = with_order(cart, order_id, version, MAX_REMEMBERED_ORDERS)
        ends_coupon = cart.coupon is not None and cart.coupon.since <= version
        update: Document = {
            "$set": {
                "lines": [line_document(line) for line in left],
                "ordered": list(after.ordered),
                "ordered_at": list(after.ordered_at),
                "forgotten_to": after.forgotten_to,
            },
            "$inc": {"version": int(ends_coupon or tuple(left) != cart.lines)},
        }
        if ends_coupon:
            update["$unset"] = {"coupon": ""}
        ordered = list(cart.ordered) if cart.ordered else {"$in": [None, []]}
        required = {"_id": cart.id, "version": cart.version, "ordered": ordered}
        return bool((await self._carts.update_one(required, update)).matched_count)

    async def record_order(self, cart_id: str, order_id: UUID, version: int) -> None:
        """Records in a merged guest's cart that the order was applied to the customer's cart; it is never dropped.

        `version` is the version of the guest's cart that the order was placed from.
        """
        required = {"_id": cart_id, "ordered": {"$ne": order_id}}
        await self._carts.update_one(required, {"$push": {"ordered": order_id, "ordered_at": version}})


def _unless_expired(document: Document | None, now: datetime) -> CartRecord | None:
    return to_cart(document) if document is not None and document["expires_at"] > now else None
