"""Examples of request bodies and parameters that work as they are. A test holds each against its contract."""

from typing import Any

from contracts import cart, catalog, gift_cards, order, payment, user
from contracts.catalog import price_operations
from contracts.operation import AnyOperation

EXAMPLE_ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
DEMO_SKU = "LMP-MOS-TURQ"
"""A SKU of the demo catalog, so that the examples work in a shop that has just been started."""
PRICE = {"amount": 1999, "currency": "USD"}
ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
_NEW_PRODUCT = {
    "name": "Brass lamp",
    "description": "Hand-chased, with a cotton wick.",
    "tags": ["light", "brass"],
    "sku": "LAMP-BRASS",
    "price": PRICE,
    "stock": 12,
}

_TAX_RATE = {"country": "DE", "rate_ppm": 190_000, "name": "USt. 19 %"}
_SHIPPING_ZONE = {
    "name": "Germany",
    "places": [{"country": "DE"}],
    "methods": [
        {
            "code": "standard",
            "name": "Standard",
            "prices": [{"price": {"amount": 490, "currency": "EUR"}}],
            "free_over": [{"amount": 5000, "currency": "EUR"}],
            "delivery_days": 3,
        }
    ],
}

_COUPON = {"code": "SUMMER10", "kind": "percent", "value": 10, "max_uses": 500, "max_uses_per_user": 1}

_PRICE_LIST = {
    "name": "Summer sale",
    "priority": 10,
    "starts_at": "2026-07-01T00:00:00Z",
    "ends_at": "2026-08-01T00:00:00Z",
}

REQUEST_EXAMPLES: dict[AnyOperation, dict[str, Any]] = {
    user.REGISTER: {
        "email": "ada@example.com",
        "password": "correct horse",
        "first_name": "Ada",
        "last_name": "Lovelace",
    },
    user.LOGIN: {"email": "ada@example.com", "password": "correct horse"},
    user.REFRESH: {"refresh_token": "the-refresh-token-received-last"},
    user.LOGOUT: {"refresh_token": "the-refresh-token-received-last"},
    user.FORGOT_PASSWORD: {"email": "ada@example.com"},
    user.RESET_PASSWORD: {"token": "the-token-from-the-mail", "password": "another correct horse"},
    user.VERIFY_EMAIL: {"token": "the-token-from-the-mail"},
    user.REQUEST_VERIFICATION: {},
    user.UPDATE_PROFILE: {"first_name": "Ada", "last_name": "King"},
    user.CHANGE_PASSWORD: {"current_password": "correct horse", "new_password": "another correct horse"},
    user.START_TOTP: {"password": "correct horse"},
    user.CONFIRM_TOTP: {"code": "492039"},
    user.RENEW_RECOVERY_CODES: {"code": "492039"},
    user.ERASE: {"password": "correct horse", "code": "492039"},
    user.DISABLE_TOTP: {"password": "correct horse", "code": "492039"},
    user.MAKE_API_KEY: {"name": "Warehouse", "scopes": ["catalog:write", "order:read"]},
    user.ADD_ADDRESS: ADDRESS,
    user.REPLACE_ADDRESS: ADDRESS,
    user.UPDATE_USER: {"role": "admin"},
    user.BAN: {},
    user.UNBAN: {},
    catalog.CREATE_PRODUCT: _NEW_PRODUCT,
    catalog.REPLACE_PRODUCT: _NEW_PRODUCT,
    catalog.CHANGE_PRODUCT: {"name": "Brass lamp, large"},
    catalog.CHANGE_IMAGE: {"alt": "A brass lamp, lit", "position": 1},
    catalog.CREATE_CATEGORY: {"name": "Lamps"},
    catalog.REPLACE_CATEGORY: {"name": "Lamps and lanterns"},
    catalog.ADJUST_STOCK: {"delta": 5, "reason": "delivery"},
    catalog.REPLACE_SYNONYMS: {"groups": [["couch", "sofa"], ["armchair", "easy chair"]]},
    catalog.CREATE_REVIEW: {"rating": 5, "title": "Warm light", "body": "Lights the whole room."},
    catalog.REPLACE_REVIEW: {"rating": 4, "title": "Warm light", "body": "Lights the whole room, but gets hot."},
    catalog.PUBLISH_REVIEW: {},
    catalog.REJECT_REVIEW: {"reason": "This is about the delivery, not about the product."},
    catalog.ANSWER_REVIEW: {"answer": "Thank you! The new wick burns cooler."},
    price_operations.CREATE_PRICE: {"sku": DEMO_SKU, "price": PRICE, "min_quantity": 10},
    price_operations.CREATE_PRICE_LIST: _PRICE_LIST,
    price_operations.REPLACE_PRICE_LIST: _PRICE_LIST,
    cart.CREATE: {},
    cart.ADD: {"sku": DEMO_SKU, "quantity": 2},
    cart.SET: {"quantity": 1},
    cart.SET_COUPON: {"code": "SUMMER10"},
    cart.MERGE: {"cart_id": "the-id-of-the-guest-cart"},
    order.PLACE: {
        "items": [{"sku": DEMO_SKU, "quantity": 2}],
        "shipping_address": ADDRESS,
        "payment_method": "sim_ok",
        "email": "ada@example.com",
    },
    order.LOOK_UP: {"number": "S-6180339966", "email": "ada@example.com"},
    order.CLAIM: {},
    order.ADD_NOTE: {"text": "The parcel left a day late.", "shown_to_customer": True},
    order.CANCEL: {"items": [{"sku": DEMO_SKU, "quantity": 1}]},
    order.PAY: {"payment_method": "sim_ok"},
    order.CREATE_EVENT_STREAM_TICKET: {},
    order.CREATE_FULFILMENT: {
        "items": [{"sku": DEMO_SKU, "quantity": 1}],
        "tracking": {"carrier": "Caravan", "number": "SK-20391"},
    },
    order.UPDATE_FULFILMENT: {"status": "delivered"},
    order.UPDATE: {"status": "shipped", "tracking": {"carrier": "Caravan", "number": "SK-20391"}},
    order.CREATE_TAX_RATE: _TAX_RATE,
    order.REPLACE_TAX_RATE: _TAX_RATE,
    order.REPLACE_TAX_SETTINGS: {"prices_include_tax": True, "seller_country": "DE", "oss": True},
    order.CREATE_SHIPPING_ZONE: _SHIPPING_ZONE,
    order.REPLACE_SHIPPING_ZONE: _SHIPPING_ZONE,
    order.CREATE_COUPON: _COUPON,
    order.REPLACE_COUPON: {**_COUPON, "active": False},
    order.CREATE_COUPON_CODES: {"count": 100, "prefix": "SUMMER"},
    payment.CREATE: {"order_id": EXAMPLE_ID, "payment_method": "sim_ok"},
    payment.CONFIRM: {"client_secret": "the-client-secret-of-the-payment"},
    payment.REFUND: {"amount": 500, "reason": "arrived late"},
    gift_cards.ISSUE_GIFT_CARD: {"amount": {"amount": 5000, "currency": "USD"}},
    gift_cards.FIND_GIFT_CARD: {"code": "7K2M-9QXC-0T4B-V8ZD"},
    gift_cards.DISABLE_GIFT_CARD: {},
}

PARAMETER_EXAMPLES: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "image_id": EXAMPLE_ID,
    "price_id": EXAMPLE_ID,
    "order_id": EXAMPLE_ID,
    "user_id": EXAMPLE_ID,
    "actor": EXAMPLE_ID,
    "sku": DEMO_SKU,
    "subject": DEMO_SKU,
    "act": "user.ban",
    "width": 640,
    "limit": 20,
    "after": "WzEyMCwgImxhbXAiXQ==",
    "q": "lamp",
    "category": "lamps",
    "tag": "brass",
    "attribute": {"attribute.material": "brass"},
    "option": {"option.Size": "M"},
    "min_price": 500,
    "max_price": 5000,
    "min_rating": 4,
    "in_stock": True,
    "sort": "-price",
    "below": 5,
    "dry_run": True,
    "dialect": "legacy",
    "email": "ada@",
    "role": "customer",
    "is_active": True,
    "status": "paid",
    "from": "2026-01-01T00:00:00Z",
    "to": "2026-02-01T00:00:00Z",
    "number": "SK-20391",
    "n": 1,
    "name": "lovelace",
    "last_event_id": "1734",
    "ticket": "q83vEjRWeJCrze8SNFZ4kA-the-signed-ticket",
    "type": "souk.order.paid",
}
"""An example of each parameter by its name."""

ERASURE_ID = "V7nq2Jr0sB4kXw8yQe1tZg5mLd9cHf3aPu6oTi0jRsE"
PARAMETER_EXAMPLES_BY_OPERATION: dict[AnyOperation, dict[str, Any]] = {
    user.ERASURE: {"id": ERASURE_ID},
    catalog.LIST_PRODUCTS: {"status": "draft"},
    catalog.SEARCH_PRODUCTS: {"status": "draft"},
    catalog.LIST_REVIEWS: {"status": "pending"},
    order.LIST: {"email": "ada@example.com"},
    order.EXPORT_ORDERS: {"email": "ada@example.com"},
}
"""Examples that differ from those above."""


def parameter_example(operation: AnyOperation, name: str) -> Any:
    """Returns an example value of a path or query parameter."""
    return {**PARAMETER_EXAMPLES, **PARAMETER_EXAMPLES_BY_OPERATION.get(operation, {})}[name]
