"""Carts in MongoDB, one document each.

A change is one statement that checks the document before it writes. So two changes at once lose nothing, and neither
waits for a lock.

Input from clients is always a value in these statements, never a field name or an operator: the contracts accept only
text and numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from contracts.cart import CartItemChange
from infra.database.mongo import Document, MongoDatabase, Session
from services.cart.domain.carts import (
    MAX_LINES,
    AddLine,
    CartEdit,
    CartLine,
    CartRecord,
    ClearLines,
    IncreaseQuantity,
    RemoveLine,
    ReplaceLines,
    SetQuantity,
    cart_reference,
    with_order,
)

MAX_REMEMBERED_ORDERS = 20
"""Applied orders that a cart lists one by one; of older ones it stores only the highest version."""

INDEXES = {
    "carts": [
        IndexModel([("user_id", ASCENDING)], unique=True, sparse=True),
        IndexModel([("reference", ASCENDING)], unique=True),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
    ]
}
"""They allow one cart for each customer, and make MongoDB remove a cart after its expiry."""


class WriteConflict(Exception):  # noqa: N818 - not an error: the caller reads the cart again and decides again
    """The stored cart is not what the edit was decided on."""


@dataclass(frozen=True, slots=True)
class WriteTime:
    """The time of a change, and when the cart expires after it."""

    now: datetime
    expires_at: datetime


class CartStore:
    """The `carts` collection, one statement for each method."""

    def __init__(self, database: MongoDatabase) -> None:
        self._carts: AsyncIOMotorCollection[Document] = database.carts

    async def find(self, cart_id: str, now: datetime, session: Session | None = None) -> CartRecord | None:
        """The cart, merged or not, unless it has expired."""
        return _to_cart(await self._carts.find_one({"_id": cart_id, "expires_at": {"$gt": now}}, session=session))

    async def find_by_reference(self, reference: str, now: datetime) -> CartRecord | None:
        """The cart of that reference, merged or not, unless it has expired."""
        return _to_cart(await self._carts.find_one({"reference": reference, "expires_at": {"$gt": now}}))

    async def find_by_user(self, user_id: UUID, now: datetime) -> CartRecord | None:
        """The customer's own cart, unless it has expired."""
        return _to_cart(await self._carts.find_one({"user_id": user_id, "expires_at": {"$gt": now}}))

    async def insert(self, cart: CartRecord, session: Session | None = None) -> bool:
        """Whether the cart was inserted; False when the customer has one already."""
        document: Document = {
            "_id": cart.id,
            "reference": cart_reference(cart.id),
            "lines": [_to_document(line) for line in cart.lines],
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
        condition, update = _edit_statement(edit, write_time.expires_at)
        changed = _to_cart(
            await self._carts.find_one_and_update(
                {**required, **condition}, update, return_document=ReturnDocument.AFTER, session=session
            )
        )
        if changed is None:
            raise WriteConflict
        return changed

    async def save_seen_lines(self, cart: CartRecord, lines: Sequence[CartLine]) -> None:
        """Stores what the owner has read; writes nothing when the cart has changed since."""
        update = {"$set": {"lines": [_to_document(line) for line in lines]}}
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
            "lines": [_to_document(line) for line in taken],
        }
        update = {"$set": values, "$inc": {"version": 1}}
        required = {"_id": guest.id, "version": guest.version, "merged_into": None}
        if not (await self._carts.update_one(required, update, session=session)).modified_count:
            raise WriteConflict

    async def empty_for_order(self, reference: str, version: int, order_id: UUID) -> bool:
        """Removes every line for the order; False when the cart is not at that version any more.

        It also returns False for a cart that would have to drop an older order from its list: `apply_order` does that.
        """
        applied = {"ordered": order_id, "ordered_at": version}
        update = {"$set": {"lines": []}, "$inc": {"version": 1}, "$push": applied}
        has_room = {f"ordered.{MAX_REMEMBERED_ORDERS - 1}": {"$exists": False}}
        required = {"reference": reference, "version": version, "ordered": {"$ne": order_id}, **has_room}
        return bool((await self._carts.update_one(required, update)).matched_count)

    async def apply_order(self, cart: CartRecord, left: Sequence[CartLine], order_id: UUID, version: int) -> bool:
        """Stores the lines that are `left` after the order; False when the cart has changed since it was read.

        `version` is the version of the cart that the order was placed from.
        """
        after = with_order(cart, order_id, version, MAX_REMEMBERED_ORDERS)
        update = {
            "$set": {
                "lines": [_to_document(line) for line in left],
                "ordered": list(after.ordered),
                "ordered_at": list(after.ordered_at),
                "forgotten_to": after.forgotten_to,
            },
            "$inc": {"version": int(tuple(left) != cart.lines)},
        }
        ordered = list(cart.ordered) if cart.ordered else {"$in": [None, []]}
        required = {"_id": cart.id, "version": cart.version, "ordered": ordered}
        return bool((await self._carts.update_one(required, update)).matched_count)

    async def record_order(self, cart_id: str, order_id: UUID, version: int) -> None:
        """Records in a merged guest's cart that the order was applied to the customer's cart; it is never dropped.

        `version` is the version of the guest's cart that the order was placed from.
        """
        required = {"_id": cart_id, "ordered": {"$ne": order_id}}
        await self._carts.update_one(required, {"$push": {"ordered": order_id, "ordered_at": version}})


def _edit_statement(edit: CartEdit, expires_at: datetime) -> tuple[Document, Document | list[Document]]:
    """The condition on the stored cart, and the update."""
    common: Document = {"$inc": {"version": 1}, "$set": {"expires_at": expires_at}}
    match edit:
        case AddLine(line):
            has_room = {"lines.sku": {"$ne": line.sku}, f"lines.{MAX_LINES - 1}": {"$exists": False}}
            values = {"expires_at": expires_at, "version": _NEXT_VERSION, "lines": _lines_with(line)}
            return has_room, [{"$set": values}]
        case IncreaseQuantity(sku, by, limit):
            has_room = {"lines": {"$elemMatch": {"sku": sku, "quantity": {"$lte": limit - by}}}}
            return has_room, common | {"$inc": {"version": 1, "lines.$.quantity": by}}
        case SetQuantity(sku, quantity):
            return {"lines.sku": sku}, common | {"$set": {"expires_at": expires_at, "lines.$.quantity": quantity}}
        case RemoveLine(sku):
            return {"lines.sku": sku}, common | {"$pull": {"lines": {"sku": sku}}}
        case ClearLines():
            return {"lines.0": {"$exists": True}}, common | {"$set": {"expires_at": expires_at, "lines": []}}
        case ReplaceLines(lines, version):
            values = {"expires_at": expires_at, "lines": [_to_document(line) for line in lines]}
            return {"version": version}, common | {"$set": values}


_NEXT_VERSION: Document = {"$add": ["$version", 1]}


def _lines_with(line: CartLine) -> Document:
    """An expression for the stored lines and one more, whose `since` is the next version, known only to the server.

    The line goes in as a literal, because its texts come from the catalog and must not be read as expressions.
    """
    added = {"$mergeObjects": [{"$literal": _to_document(line)}, {"since": _NEXT_VERSION}]}
    return {"$concatArrays": ["$lines", [added]]}


def _to_document(line: CartLine) -> Document:
    """A line as it is stored. Options are pairs: their names are free text, which must not become field names."""
    return {
        "sku": line.sku,
        "quantity": line.quantity,
        "product_id": line.product_id,
        "name": line.name,
        "options": [list(pair) for pair in line.options.items()],
        "price": line.price,
        "shortage": line.shortage,
        "since": line.since,
        "left_out": line.left_out,
    }


def _to_line(document: Document) -> CartLine:
    shortage = document["shortage"]
    return CartLine(
        document["sku"],
        document["quantity"],
        document["product_id"],
        document["name"],
        dict(document["options"]),
        document["price"],
        CartItemChange(shortage) if shortage else None,
        document.get("since", 0),
        document.get("left_out", 0),
    )


def _to_cart(document: Any) -> CartRecord | None:
    """`document` is Any: what the driver finds, or None."""
    if document is None:
        return None
    return CartRecord(
        document["_id"],
        document.get("user_id"),
        document["expires_at"],
        tuple(map(_to_line, document["lines"])),
        document["version"],
        document.get("merged_into"),
        document.get("merged_at", 0),
        tuple(document.get("ordered", ())),
        tuple(document.get("ordered_at", ())),
        document.get("forgotten_to", 0),
    )
