"""Carts in MongoDB, a document each. A change is one statement that looks before it writes, so that nothing is lost
between two who change a cart at once, and nobody waits for a lock.

Whatever a client says is a value in these statements, never a name: the contracts let only text and numbers through.
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
"""Orders that a cart remembers one by one; of those before them, it knows how far they had come."""

INDEXES = {
    "carts": [
        IndexModel([("user_id", ASCENDING)], unique=True, sparse=True),
        IndexModel([("reference", ASCENDING)], unique=True),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
    ]
}
"""One cart a customer; a cart goes when its time is over."""


@dataclass(frozen=True, slots=True)
class WriteTime:
    """When a cart is changed, and until when it is kept from then on."""

    now: datetime
    expires_at: datetime


class CartStore:
    """The collection, a statement a method."""

    def __init__(self, database: MongoDatabase) -> None:
        self._carts: AsyncIOMotorCollection[Document] = database.carts

    async def find(self, id_: str, now: datetime, session: Session | None = None) -> CartRecord | None:
        """The cart, merged or not, unless its time is over."""
        return _cart(await self._carts.find_one({"_id": id_, "expires_at": {"$gt": now}}, session=session))

    async def find_by_reference(self, reference: str, now: datetime) -> CartRecord | None:
        """As `find`, by the cart's reference."""
        return _cart(await self._carts.find_one({"reference": reference, "expires_at": {"$gt": now}}))

    async def find_by_user(self, user_id: UUID, now: datetime) -> CartRecord | None:
        return _cart(await self._carts.find_one({"user_id": user_id, "expires_at": {"$gt": now}}))

    async def insert(self, cart: CartRecord, session: Session | None = None) -> bool:
        """Whether it is in; False when its owner has one already."""
        document: Document = {
            "_id": cart.id,
            "reference": cart_reference(cart.id),
            "lines": [_document(line) for line in cart.lines],
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
        """Makes room for a new cart where MongoDB has not removed the old one yet."""
        await self._carts.delete_one({"user_id": user_id, "expires_at": {"$lte": now}})

    async def delete_by_user(self, user_id: UUID) -> None:
        """The carts that somebody's own has taken in, and then itself: it is what those are found by."""
        async for cart in self._carts.find({"user_id": user_id}, {"_id": 1}):
            await self._carts.delete_many({"merged_into": cart["_id"]})
        await self._carts.delete_many({"user_id": user_id})

    async def apply_edit(
        self,
        cart: CartRecord,
        edit: CartEdit,
        write_time: WriteTime,
        *,
        version: int | None = None,
        session: Session | None = None,
    ) -> CartRecord | None:
        """The cart after the edit. None when it is not any more what the edit, or `version`, asks for."""
        there: Document = {
            "_id": cart.id,
            "user_id": cart.user_id,
            "merged_into": None,
            "expires_at": {"$gt": write_time.now},
        }
        if version is not None:
            there["version"] = version
        when, update = _statement(edit, write_time.expires_at)
        return _cart(
            await self._carts.find_one_and_update(
                {**there, **when}, update, return_document=ReturnDocument.AFTER, session=session
            )
        )

    async def save_seen_lines(self, cart: CartRecord, lines: Sequence[CartLine]) -> None:
        """What its owner has read now; nothing when the cart has changed since."""
        seen = {"$set": {"lines": [_document(line) for line in lines]}}
        await self._carts.update_one({"_id": cart.id, "version": cart.version}, seen)

    async def mark_merged(self, guest: CartRecord, target: CartRecord, session: Session) -> bool:
        """Whether the guest's cart was still as it was read; it is used no more, and keeps what it brought."""
        gone = {"$set": {"merged_into": target.id, "merged_at": target.version}, "$inc": {"version": 1}}
        there = {"_id": guest.id, "version": guest.version, "merged_into": None}
        return bool((await self._carts.update_one(there, gone, session=session)).modified_count)

    async def empty_for_order(self, reference: str, version: int, order_id: UUID) -> bool:
        """Whether the cart of that reference was still at that version, and is empty now: the order has its lines.

        One that would have to forget an order for it is left to `give`.
        """
        remembered = {"ordered": order_id, "ordered_at": version}
        update = {"$set": {"lines": []}, "$inc": {"version": 1}, "$push": remembered}
        room = {f"ordered.{MAX_REMEMBERED_ORDERS - 1}": {"$exists": False}}
        there = {"reference": reference, "version": version, "ordered": {"$ne": order_id}, **room}
        return bool((await self._carts.update_one(there, update)).matched_count)

    async def apply_order(self, cart: CartRecord, left: Sequence[CartLine], order_id: UUID, version: int) -> bool:
        """Whether the cart was still as it was read; what is not `left` has gone to the order of that version."""
        then = with_order(cart, order_id, version, MAX_REMEMBERED_ORDERS)
        update = {
            "$set": {
                "lines": [_document(line) for line in left],
                "ordered": list(then.ordered),
                "ordered_at": list(then.ordered_at),
                "forgotten_to": then.forgotten_to,
            },
            "$inc": {"version": int(tuple(left) != cart.lines)},
        }
        ordered = list(cart.ordered) if cart.ordered else {"$in": [None, []]}
        there = {"_id": cart.id, "version": cart.version, "ordered": ordered}
        return bool((await self._carts.update_one(there, update)).matched_count)

    async def record_order(self, id_: str, order_id: UUID) -> None:
        """The order has its lines from the cart that has taken this one in; to be known here for good."""
        there = {"_id": id_, "ordered": {"$ne": order_id}}
        await self._carts.update_one(there, {"$push": {"ordered": order_id, "ordered_at": 0}})


def _statement(edit: CartEdit, expires_at: datetime) -> tuple[Document, Document | list[Document]]:
    """What must hold of the cart, and what becomes of it."""
    kept: Document = {"$inc": {"version": 1}, "$set": {"expires_at": expires_at}}
    match edit:
        case AddLine(line):
            room = {"lines.sku": {"$ne": line.sku}, f"lines.{MAX_LINES - 1}": {"$exists": False}}
            return room, [{"$set": {"expires_at": expires_at, "version": _NEXT, "lines": _with(line)}}]
        case IncreaseQuantity(sku, by, most):
            room = {"lines": {"$elemMatch": {"sku": sku, "quantity": {"$lte": most - by}}}}
            return room, kept | {"$inc": {"version": 1, "lines.$.quantity": by}}
        case SetQuantity(sku, quantity):
            return {"lines.sku": sku}, kept | {"$set": {"expires_at": expires_at, "lines.$.quantity": quantity}}
        case RemoveLine(sku):
            return {"lines.sku": sku}, kept | {"$pull": {"lines": {"sku": sku}}}
        case ClearLines():
            return {"lines.0": {"$exists": True}}, kept | {"$set": {"expires_at": expires_at, "lines": []}}
        case ReplaceLines(lines, version):
            written = {"expires_at": expires_at, "lines": [_document(line) for line in lines]}
            return {"version": version}, kept | {"$set": written}


_NEXT: Document = {"$add": ["$version", 1]}


def _with(line: CartLine) -> Document:
    """The lines and one more, since the version that is written: only the server knows which that is.

    It reads this as an expression; what was not ours to word is literal.
    """
    return {"$concatArrays": ["$lines", [{"$mergeObjects": [{"$literal": _document(line)}, {"since": _NEXT}]}]]}


def _document(line: CartLine) -> Document:
    """Options go as pairs: their names are the catalog's free text, and must not become names of fields."""
    return {
        "sku": line.sku,
        "quantity": line.quantity,
        "product_id": line.product_id,
        "name": line.name,
        "options": [list(pair) for pair in line.options.items()],
        "price": line.price,
        "shortage": line.shortage,
        "since": line.since,
    }


def _line(document: Document) -> CartLine:
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
    )


def _cart(document: Any) -> CartRecord | None:
    """Any: what the driver finds, or None."""
    if document is None:
        return None
    return CartRecord(
        document["_id"],
        document.get("user_id"),
        document["expires_at"],
        tuple(map(_line, document["lines"])),
        document["version"],
        document.get("merged_into"),
        document.get("merged_at", 0),
        tuple(document.get("ordered", ())),
        tuple(document.get("ordered_at", ())),
        document.get("forgotten_to", 0),
    )
