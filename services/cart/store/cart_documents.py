"""The documents of carts, and the statements that change them.

Input from clients is always a value in these statements, never a field name or an operator: the contracts accept only
text and numbers.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.cart import CartItemChange
from contracts.coupons import CouponTerms
from infra.database.mongo import Document
from services.cart.domain.carts import (
    MAX_LINES,
    AddLine,
    CartEdit,
    CartLine,
    CartRecord,
    ClearLines,
    IncreaseQuantity,
    LineEdit,
    RemoveLine,
    ReplaceLines,
    SetQuantity,
)
from services.cart.domain.coupons import CartCoupon, SetCoupon

MAX_REMEMBERED_ORDERS = 20
"""Applied orders that a cart lists one by one; of older ones it stores only the highest version."""


def edit_statement(edit: CartEdit, expires_at: datetime) -> tuple[Document, Document | list[Document]]:
    """The condition on the stored cart, and the update."""
    if isinstance(edit, SetCoupon):
        return _coupon_statement(edit.coupon, expires_at)
    return _line_statement(edit, expires_at)


def _coupon_statement(coupon: CartCoupon | None, expires_at: datetime) -> tuple[Document, Document | list[Document]]:
    values: Document = {"expires_at": expires_at, "version": _NEXT_VERSION, "coupon": "$$REMOVE"}
    if coupon is None:
        return {"coupon": {"$exists": True}}, [{"$set": values}]
    values["coupon"] = {"$mergeObjects": [{"$literal": _coupon_document(coupon)}, {"since": _NEXT_VERSION}]}
    return {}, [{"$set": values}]


def _line_statement(edit: LineEdit, expires_at: datetime) -> tuple[Document, Document | list[Document]]:
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
        case ReplaceLines(lines, version, coupon):
            values = {"expires_at": expires_at, "lines": [line_document(line) for line in lines]}
            if coupon is not None:
                values["coupon"] = _coupon_document(coupon)
            return {"version": version}, common | {"$set": values}


def order_statement(order_id: UUID, version: int) -> list[Document]:
    """Removes all lines and the coupon for an order that was placed from that version, as `with_order` lists it.

    It knows nothing of the stored cart, so it does in MongoDB what `with_order` does in Python.
    """
    ordered: Document = {"$ifNull": ["$ordered", []]}
    ordered_at: Document = {"$ifNull": ["$ordered_at", []]}
    unknown = {"$range": [0, {"$subtract": [{"$size": ordered}, {"$size": ordered_at}]}]}
    unknown_versions = {"$map": {"input": unknown, "in": 0}}
    dropped = {"$max": [0, {"$subtract": [{"$size": "$ordered"}, MAX_REMEMBERED_ORDERS]}]}
    return [
        {
            "$set": {
                "lines": [],
                "coupon": "$$REMOVE",
                "version": _NEXT_VERSION,
                "ordered": {"$concatArrays": [ordered, [order_id]]},
                "ordered_at": {"$concatArrays": [unknown_versions, ordered_at, [version]]},
            }
        },
        {
            "$set": {
                "ordered": {"$slice": ["$ordered", -MAX_REMEMBERED_ORDERS]},
                "ordered_at": {"$slice": ["$ordered_at", -MAX_REMEMBERED_ORDERS]},
                "forgotten_to": {"$max": ["$forgotten_to", {"$max": {"$slice": ["$ordered_at", dropped]}}, 0]},
            }
        },
    ]


_NEXT_VERSION: Document = {"$add": ["$version", 1]}


def _lines_with(line: CartLine) -> Document:
    """An expression for the stored lines and one more, whose `since` is the next version, known only to the server.

    The line goes in as a literal, because its texts come from the catalog and must not be read as expressions.
    """
    added = {"$mergeObjects": [{"$literal": line_document(line)}, {"since": _NEXT_VERSION}]}
    return {"$concatArrays": ["$lines", [added]]}


def line_document(line: CartLine) -> Document:
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


def _coupon_document(coupon: CartCoupon) -> Document:
    return {**coupon.terms.model_dump(mode="json"), "since": coupon.since}


def _to_coupon(document: Document | None) -> CartCoupon | None:
    if document is None:
        return None
    terms = {name: document[name] for name in CouponTerms.model_fields}
    return CartCoupon(CouponTerms.model_validate(terms, strict=False), document["since"])


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


def to_cart(document: Any) -> CartRecord | None:
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
        _to_coupon(document.get("coupon")),
    )
