"""How an order is read from its row."""

from typing import Any

from pydantic import TypeAdapter

from contracts.money import Money
from contracts.order import (
    Address,
    Fulfilment,
    Order,
    OrderHistoryEntry,
    OrderItem,
    OrderNote,
    OrderStatus,
    ShipmentTracking,
    TaxLine,
)
from services.order.domain.cancellations import Cancellation
from services.order.domain.fulfilments import parcels_of_unlisted, state_of
from services.order.domain.order_numbers import format_order_number
from services.order.domain.orders import CartVersion, OrderRecord

ITEMS = TypeAdapter(list[OrderItem])
HISTORY = TypeAdapter(list[OrderHistoryEntry])
TAX_LINES = TypeAdapter(list[TaxLine])
FULFILMENTS = TypeAdapter(list[Fulfilment])
NOTES = TypeAdapter(list[OrderNote])
CANCELLATIONS = TypeAdapter(list[Cancellation])

COLUMNS = """
    orders.id, orders.serial, orders.version, orders.status, orders.user_id, orders.email, orders.hold_id,
    orders.cart_id, orders.cart_version, orders.currency, orders.subtotal, orders.discount, orders.coupon,
    orders.shipping, orders.shipping_discount,
    orders.shipping_method, orders.tax, orders.tax_included, orders.tax_lines::text AS tax_lines, orders.total,
    orders.items::text AS items, orders.shipping_address::text AS shipping_address, orders.payment_id,
    orders.tracking::text AS tracking, orders.history::text AS history, orders.created_at, orders.updated_at,
    orders.fulfilments::text AS fulfilments, orders.cancellations::text AS cancellations,
    orders.billing_address::text AS billing_address,
    orders.notes::text AS notes, orders.gift_card_total, orders.gift_card_hold_id, orders.gift_cards
"""


def to_record(row: Any) -> OrderRecord:
    """Builds the record from a row of `COLUMNS`, and of `previous_status` where the statement returns it."""
    items = ITEMS.validate_json(row["items"], extra="ignore")  # a newer release may have stored the order
    history = HISTORY.validate_json(row["history"])
    tracking = ShipmentTracking.model_validate_json(row["tracking"]) if row["tracking"] else None
    fulfilments = (
        FULFILMENTS.validate_json(row["fulfilments"], extra="ignore")
        if row["fulfilments"]
        else parcels_of_unlisted(row["id"], items, history, tracking)
    )
    notes = NOTES.validate_json(row["notes"], extra="ignore") if row["notes"] else []
    order = Order(
        id=row["id"],
        number=format_order_number(row["serial"]),
        user_id=row["user_id"],
        status=OrderStatus(row["status"]),
        items=items,
        subtotal=_money(row, "subtotal"),
        discount=_money(row, "discount"),
        coupon=row["coupon"],
        shipping=_money(row, "shipping"),
        shipping_discount=_money(row, "shipping_discount"),
        shipping_method=row["shipping_method"],
        tax=_money(row, "tax"),
        tax_included=row["tax_included"],
        tax_lines=TAX_LINES.validate_json(row["tax_lines"]),
        total=_money(row, "total"),
        gift_card_total=_money(row, "gift_card_total"),
        gift_cards=row["gift_cards"],
        shipping_address=_address(row["shipping_address"]),
        billing_address=_address(row["billing_address"]) if row["billing_address"] else None,
        payment_id=row["payment_id"],
        tracking=tracking,
        fulfilment=state_of(items, fulfilments),
        fulfilments=fulfilments,
        history=history,
        notes=[note.model_copy(update={"author_id": None}) for note in notes if note.shown_to_customer],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
    previous_status = OrderStatus(row.get("previous_status", row["status"]))
    cart = CartVersion(row["cart_id"], row["cart_version"]) if row["cart_id"] is not None else None
    gift_card_hold_id = row["gift_card_hold_id"]
    version, hold_id, email = row["version"], row["hold_id"], row["email"]
    cancellations = CANCELLATIONS.validate_json(row["cancellations"]) if row["cancellations"] else ()
    return OrderRecord(order, version, hold_id, cart, email, previous_status, notes, gift_card_hold_id, cancellations)


def _address(text: str) -> Address:
    """The address from its JSON; a newer release may have stored it."""
    return Address.model_validate_json(text, extra="ignore")


def _money(row: Any, column: str) -> Money:
    return Money(amount=row[column], currency=row["currency"])
