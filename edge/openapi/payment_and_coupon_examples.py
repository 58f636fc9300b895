"""Examples of replies about payments, gift cards and coupons."""

from typing import Any

from contracts import gift_cards, order, payment
from contracts.model import Model
from edge.openapi.request_examples import EXAMPLE_ID
from edge.openapi.review_and_price_examples import NOW

Example = dict[str, Any]


def _dollars(cents: int) -> Example:
    return {"amount": cents, "currency": "USD"}


PAYMENT: Example = {
    "id": EXAMPLE_ID,
    "order_id": EXAMPLE_ID,
    "amount": _dollars(3998),
    "gift_card_amount": _dollars(2000),
    "refunded": _dollars(0),
    "status": "captured",
    "provider": "simulator",
    "failure_code": None,
    "client_secret": None,
    "created_at": NOW,
}
COUPON: Example = {
    "id": EXAMPLE_ID,
    "code": "SUMMER10",
    "kind": "percent",
    "value": 10,
    "currency": None,
    "applies_to": "goods",
    "min_subtotal": None,
    "starts_at": None,
    "ends_at": None,
    "max_uses": 500,
    "max_uses_per_user": 1,
    "first_order_only": False,
    "active": True,
    "used": 42,
    "created_at": NOW,
}

PAYMENT_AND_COUPON_EXAMPLES: dict[type[Model], Example] = {
    payment.Payment: PAYMENT,
    gift_cards.GiftCard: {
        "id": EXAMPLE_ID,
        "code": None,
        "last4": "V8ZD",
        "initial": _dollars(5000),
        "balance": _dollars(3000),
        "held": _dollars(0),
        "state": "active",
        "expires_at": None,
        "created_at": NOW,
    },
    order.Coupon: COUPON,
    order.CouponCodes: {"codes": ["SUMMER-7K2M-9QXC-0T4B-V8ZD"]},
}
