"""How an order is read from its row."""

from typing import Any

from pydantic import TypeAdapter

from contracts.money import Money
from contracts.order import Address, Order, OrderHistoryEntry, OrderItem, OrderStatus, ShipmentTracking, TaxLine
from services.order.domain.order_numbers import format_order_number
from services.order.domain.orders import CartVersion, OrderRecord

ITEMS = TypeAdapter(list[OrderItem])
HISTORY = TypeAdapter(list[OrderHistoryEntry])
TAX_LINES = TypeAdapter(list[TaxLine])

COLUMNS = """
    orders.id, orders.serial, orders.version, orders.status, orders.user_id, orders.email, orders.hold_id,
    orders.cart_id, orders.cart_version, orders.currency, orders.subtotal, orders.discount, orders.coupon,
    orders.shipping, orders.shipping_discount,
    orders.shipping_method, orders.tax, orders.tax_included, orders.tax_lines::text AS tax_lines, orders.total,
    orders.items::text AS items, orders.shipping_address::text AS shipping_address, orders.payment_id,
    orders.tracking::text AS tracking, orders.history::text AS history, orders.created_at, orders.updated_at
"""


def to_record(row: Any) -> OrderRecord:
    """Builds the record from a row of `COLUMNS`, and of `previous_status` where the statement returns it."""
    order = Order(
        id=row["id"],
        number=format_order_number(row["serial"]),
        user_id=row["user_id"],
        status=OrderStatus(row["status"]),
        items=ITEMS.validate_json(row["items"], extra="ignore"),  # a newer release may have stored the order
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
        shipping_address=Address.model_validate_json(row["shipping_address"]),
        payment_id=row["payment_id"],
        tracking=ShipmentTracking.model_validate_json(row["tracking"]) if row["tracking"] else None,
        history=HISTORY.validate_json(row["history"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
    previous_status = OrderStatus(row.get("previous_status", row["status"]))
    cart = CartVersion(row["cart_id"], row["cart_version"]) if row["cart_id"] is not None else None
    return OrderRecord(order, row["version"], row["hold_id"], cart, row["email"], previous_status)


def _money(row: Any, column: str) -> Money:
    return Money(amount=row[column], currency=row["currency"])
