"""Bodies that work, for readers of the documentation. A test holds each against its contract."""

from typing import Any

from contracts import cart, catalog, order, payment, user
from contracts.operation import AnyOperation

_ID = "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"
_MONEY = {"amount": 1999, "currency": "USD"}
_ADDRESS = {
    "name": "Ada Lovelace",
    "line1": "12 St James's Square",
    "city": "London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
_PRODUCT = {
    "name": "Brass lamp",
    "description": "Hand-chased, with a cotton wick.",
    "tags": ["light", "brass"],
    "sku": "LAMP-BRASS",
    "price": _MONEY,
    "stock": 12,
}

REQUEST_EXAMPLES: dict[AnyOperation, dict[str, Any]] = {
    user.REGISTER: {
        "email": "ada@example.com",
        "password": "correct horse",
        "first_name": "Ada",
        "last_name": "Lovelace",
    },
    user.LOGIN: {"email": "ada@example.com", "password": "correct horse"},
    user.REFRESH: {"refresh_token": "the-refresh-token-of-the-last-answer"},
    user.LOGOUT: {"refresh_token": "the-refresh-token-of-the-last-answer"},
    user.FORGOT_PASSWORD: {"email": "ada@example.com"},
    user.RESET_PASSWORD: {"token": "the-token-from-the-mail", "password": "another correct horse"},
    user.VERIFY_EMAIL: {"token": "the-token-from-the-mail"},
    user.REQUEST_VERIFICATION: {},
    user.UPDATE_PROFILE: {"first_name": "Ada", "last_name": "King"},
    user.CHANGE_PASSWORD: {"current_password": "correct horse", "new_password": "another correct horse"},
    user.START_TOTP: {"password": "correct horse"},
    user.CONFIRM_TOTP: {"code": "492039"},
    user.RENEW_RECOVERY_CODES: {"code": "492039"},
    user.DISABLE_TOTP: {"password": "correct horse", "code": "492039"},
    user.MAKE_API_KEY: {"name": "Warehouse", "scopes": ["catalog:write", "order:read"]},
    user.ADD_ADDRESS: _ADDRESS,
    user.REPLACE_ADDRESS: _ADDRESS,
    user.UPDATE_USER: {"role": "admin"},
    user.BAN: {},
    user.UNBAN: {},
    catalog.CREATE_PRODUCT: _PRODUCT,
    catalog.REPLACE_PRODUCT: _PRODUCT,
    catalog.CHANGE_PRODUCT: {"name": "Brass lamp, large"},
    catalog.CREATE_CATEGORY: {"name": "Lamps"},
    catalog.REPLACE_CATEGORY: {"name": "Lamps and lanterns"},
    catalog.ADJUST_STOCK: {"delta": 5, "reason": "delivery"},
    cart.CREATE: {},
    cart.ADD: {"sku": "LAMP-BRASS", "quantity": 2},
    cart.SET: {"quantity": 1},
    cart.MERGE: {"cart_id": "the-guest-cart-s-id"},
    order.PLACE: {
        "items": [{"sku": "LAMP-BRASS", "quantity": 2}],
        "shipping_address": _ADDRESS,
        "payment_method": "sim_ok",
        "email": "ada@example.com",
    },
    order.CANCEL: {},
    order.PAY: {"payment_method": "sim_ok"},
    order.UPDATE: {"status": "shipped", "tracking": {"carrier": "Caravan", "number": "SK-20391"}},
    payment.CREATE: {"order_id": _ID, "payment_method": "sim_ok"},
    payment.CONFIRM: {"client_secret": "the-payment-s-client-secret"},
    payment.REFUND: {"amount": 500, "reason": "arrived late"},
}
