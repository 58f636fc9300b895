"""Examples of successful responses, one for each kind of reply. A test holds each against its contract."""

from typing import get_args

from contracts import cart, catalog, notification, order, user
from contracts.audit_log import AuditLogEntry
from contracts.model import Empty, ListPage, Model
from edge.openapi.event_examples import EVENT_EXAMPLES
from edge.openapi.payment_and_coupon_examples import PAYMENT, PAYMENT_AND_COUPON_EXAMPLES
from edge.openapi.request_examples import ADDRESS, ERASURE_ID, EXAMPLE_ID, PRICE
from edge.openapi.review_and_price_examples import NOW, REVIEW, REVIEW_AND_PRICE_EXAMPLES, Example

LATER = "2026-03-02T12:00:00Z"
NOTHING = {"amount": 0, "currency": "USD"}
TWO_LAMPS = {"amount": 3998, "currency": "USD"}
TOKEN = "eyJhbGciOiJSUzI1NiJ9.the-claims.the-signature"  # noqa: S105 - not a real token
FULL_ADDRESS = {
    **ADDRESS,
    "line2": None,
    "region": None,
    "phone": "+44 20 7946 0958",
    "company": None,
    "vat_id": None,
}
SAVED_ADDRESS = {"id": EXAMPLE_ID, **FULL_ADDRESS}

USER: Example = {
    "id": EXAMPLE_ID,
    "email": "ada@example.com",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "role": "customer",
    "is_active": True,
    "email_verified": True,
    "totp": False,
    "created_at": NOW,
    "updated_at": NOW,
}
USER_SESSION: Example = {
    "id": EXAMPLE_ID,
    "created_at": NOW,
    "used_at": NOW,
    "expires_at": LATER,
    "address": "203.0.113.7",
    "current": True,
}
API_KEY: Example = {
    "id": EXAMPLE_ID,
    "name": "Warehouse",
    "scopes": ["catalog:write", "order:read"],
    "made_by": EXAMPLE_ID,
    "created_at": NOW,
    "expires_at": None,
    "last_used_at": NOW,
}
LAMP: Example = {
    "id": EXAMPLE_ID,
    "slug": "brass-lamp",
    "name": "Brass lamp",
    "description": "Hand-chased, with a cotton wick.",
    "category": "lamps",
    "tags": ["light", "brass"],
    "attributes": {"material": "brass"},
    "price": PRICE,
    "variants": [
        {
            "sku": "LAMP-BRASS",
            "options": {},
            "price": PRICE,
            "compare_at_price": None,
            "available": 12,
            "on_backorder": False,
            "weight_grams": 850,
            "barcode": "4006381333931",
            "requires_shipping": True,
        }
    ],
    "images": [{"id": EXAMPLE_ID, "url": f"/images/{EXAMPLE_ID}/2048.webp", "alt": "A brass lamp"}],
    "rating": {"average": 4.5, "count": 12},
    "is_active": True,
    "created_at": NOW,
    "updated_at": NOW,
    "publish_at": None,
    "status": "active",
    "vendor": "Acme",
    "tax_category": "standard",
    "seo": {"title": "Brass lamp with a cotton wick", "description": None},
    "breadcrumbs": [{"slug": "home", "name": "Home"}, {"slug": "lamps", "name": "Lamps"}],
}
LINE: Example = {
    "sku": "LAMP-BRASS",
    "product_id": EXAMPLE_ID,
    "name": "Brass lamp",
    "options": {},
    "quantity": 2,
    "unit_price": PRICE,
    "line_total": TWO_LAMPS,
}
TAX_LINE: Example = {
    "name": "VAT 20 %",
    "rate_ppm": 200_000,
    "base": {"amount": 3332, "currency": "USD"},
    "amount": {"amount": 666, "currency": "USD"},
    "compound": False,
    "reason": "standard",
}
CART: Example = {
    "id": "mVq3Zr8nB1kXw5yQe7tJg2dL",
    "items": [{**LINE, "available": 12, "on_backorder": False, "changes": [], "left_out": 0}],
    "subtotal": TWO_LAMPS,
    "discount": NOTHING,
    "total": TWO_LAMPS,
    "coupon": None,
    "version": 3,
    "expires_at": LATER,
}
ORDER: Example = {
    "id": EXAMPLE_ID,
    "number": "SK-20391",
    "user_id": EXAMPLE_ID,
    "status": "pending",
    "items": [{**LINE, "cancelled": 0, "discount": NOTHING, "tax_lines": [TAX_LINE], "shipping_tax_lines": []}],
    "subtotal": TWO_LAMPS,
    "discount": NOTHING,
    "coupon": None,
    "shipping": NOTHING,
    "shipping_discount": NOTHING,
    "shipping_method": "standard",
    "tax": TAX_LINE["amount"],
    "tax_included": True,
    "tax_lines": [TAX_LINE],
    "total": TWO_LAMPS,
    "gift_card_total": {"amount": 2000, "currency": "USD"},
    "gift_cards": ["V8ZD"],
    "shipping_address": FULL_ADDRESS,
    "billing_address": {**FULL_ADDRESS, "company": "Analytical Engines Ltd", "vat_id": "GB123456789"},
    "payment_id": None,
    "tracking": None,
    "fulfilment": "none",
    "fulfilments": [],
    "history": [{"status": "pending", "at": NOW, "note": None}],
    "notes": [{"text": "The parcel left a day late.", "shown_to_customer": True, "author_id": None, "at": NOW}],
    "created_at": NOW,
    "updated_at": NOW,
}
TAX_RATE: Example = {
    "id": EXAMPLE_ID,
    "category": "standard",
    "country": "DE",
    "region": None,
    "postal_prefix": None,
    "rate_ppm": 190_000,
    "name": "USt. 19 %",
    "compound": False,
    "priority": 1,
    "valid_from": None,
    "valid_to": None,
    "reason": "standard",
}
SHIPPING_ZONE: Example = {
    "id": EXAMPLE_ID,
    "name": "Germany",
    "places": [{"country": "DE", "region": None, "postal_prefix": None}],
    "methods": [
        {
            "code": "standard",
            "name": "Standard",
            "kind": "flat",
            "prices": [{"from": 0, "to": None, "price": {"amount": 490, "currency": "EUR"}}],
            "free_over": [{"amount": 5000, "currency": "EUR"}],
            "delivery_days": 3,
            "active": True,
        }
    ],
}
ISSUED_INVOICE: Example = {
    "number": "INV-2026-000042",
    "kind": "invoice",
    "order_id": EXAMPLE_ID,
    "issued_at": NOW,
    "total": TWO_LAMPS,
}
NOTIFICATION: Example = {
    "id": EXAMPLE_ID,
    "kind": "order_placed",
    "channel": "email",
    "status": "sent",
    "subject": "Your order SK-20391",
    "created_at": NOW,
    "sent_at": NOW,
    "reason": None,
}
AUDIT_LOG_ENTRY: Example = {
    "seq": 1,
    "at": NOW,
    "act": "user.ban",
    "actor": {"kind": "person", "id": EXAMPLE_ID},
    "client": "203.0.113.7",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "request_id": "b6a1f0d2",
    "subject": EXAMPLE_ID,
    "before": {"is_active": True},
    "after": {"is_active": False},
    "previous": "0" * 64,
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
CATEGORY: Example = {"id": EXAMPLE_ID, "slug": "lamps", "name": "Lamps", "parent_id": None}

REPLY_EXAMPLES: dict[type[Model], Example] = {
    Empty: {},
    user.User: USER,
    user.SessionTokens: {
        "user": USER,
        "access_token": TOKEN,
        "refresh_token": "q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0x1c",
        "token_type": "Bearer",
        "expires_in": 900,
    },
    user.UserSession: USER_SESSION,
    user.SavedAddress: SAVED_ADDRESS,
    user.ApiKey: API_KEY,
    user.NewApiKey: {**API_KEY, "last_used_at": None, "key": "souk_V7nq2Jr0sB4kXw8yQe1tZg5mLd9cHf3aPu6oTi0jRsE"},
    user.TotpEnrollment: {
        "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        "uri": "otpauth://totp/Souk:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Souk",
    },
    user.RecoveryCodeList: {"recovery_codes": ["f3k9-q7mz", "x2vb-8dwn"]},
    user.DataExport: {
        "id": EXAMPLE_ID,
        "made_at": NOW,
        "user": USER,
        "addresses": [SAVED_ADDRESS],
        "sessions": [USER_SESSION],
        "api_keys": [],
        "carts": [],
        "orders": [ORDER],
        "invoices": [ISSUED_INVOICE],
        "payments": [PAYMENT],
        "notifications": [NOTIFICATION],
        "reviews": [REVIEW],
    },
    user.Erasure: {
        "id": ERASURE_ID,
        "status": "running",
        "services": [{"service": "order", "erased_at": NOW}],
        "asked_at": NOW,
        "done_at": None,
    },
    user.Jwks: {"keys": [{"kty": "RSA", "kid": "2026-01", "use": "sig", "alg": "RS256", "n": "sXch...", "e": "AQAB"}]},
    **REVIEW_AND_PRICE_EXAMPLES,
    catalog.Product: LAMP,
    catalog.ProductSearchResult: {
        "items": [LAMP],
        "next": None,
        "facets": {
            "category": [{"value": "lamps", "count": 1, "name": None}],
            "price": [{"value": "1000..2500", "count": 1, "name": None}],
            "rating": [{"value": "4", "count": 1, "name": None}],
            "tag": [{"value": "brass", "count": 1, "name": None}],
            "attribute": [{"value": "brass", "count": 1, "name": "material"}],
            "option": [{"value": "M", "count": 1, "name": "Size"}],
        },
    },
    catalog.SynonymList: {"groups": [["couch", "sofa"], ["armchair", "easy chair"]], "updated_at": NOW},
    catalog.ProductSuggestions: {"items": ["Brass lamp", "Brass lantern"]},
    catalog.Category: CATEGORY,
    catalog.StockMovement: {
        "kind": "sold",
        "quantity": -2,
        "on_hand": 14,
        "reason": None,
        "user_id": None,
        "order_id": EXAMPLE_ID,
        "at": NOW,
    },
    catalog.StockLevel: {
        "sku": "LAMP-BRASS",
        "on_hand": 14,
        "reserved": 2,
        "available": 12,
        "tracked": True,
        "backorder": False,
    },
    catalog.InventoryImport: {
        "lines": 3,
        "updated": 1,
        "unchanged": 1,
        "failed": 1,
        "errors": [
            {"line": 4, "handle": "", "field": "sku", "value": "LAMP-TIN", "detail": "No product has this SKU."}
        ],
    },
    catalog.ProductImport: {
        "id": EXAMPLE_ID,
        "status": "done",
        "dry_run": False,
        "rows": 3,
        "products": 2,
        "variants": 3,
        "created": 1,
        "updated": 1,
        "unchanged": 0,
        "changes": [],
        "warnings": [
            {
                "line": 3,
                "handle": "brass-lamp",
                "field": "Variant Grams",
                "value": "226.796185",
                "detail": "This was rounded to 227 g.",
            }
        ],
        "errors": [],
        "created_at": NOW,
    },
    catalog.ProductImage: {"id": EXAMPLE_ID, "url": f"/images/{EXAMPLE_ID}/2048.webp", "alt": "A brass lamp"},
    cart.Cart: CART,
    order.Order: ORDER,
    order.PlacedOrder: {**ORDER, "user_id": None, "access_token": "mVn0q5sUq1y8Rr0k2N6cW3tXJzH4bLdPfGaEoYiTuKs"},
    order.TaxRate: TAX_RATE,
    order.TaxSettings: {
        "prices_include_tax": True,
        "seller_country": "DE",
        "oss": True,
        "shipping_tax_category": None,
    },
    order.ShippingZone: SHIPPING_ZONE,
    **PAYMENT_AND_COUPON_EXAMPLES,
    notification.Notification: NOTIFICATION,
    **EVENT_EXAMPLES,
    AuditLogEntry: AUDIT_LOG_ENTRY,
}


def reply_example(model: type[Model]) -> Example:
    """Returns an example of a reply; a page of a list holds one item."""
    if issubclass(model, ListPage):
        (item,) = get_args(model.model_fields["items"].annotation)
        return {"items": [REPLY_EXAMPLES[item]], "next": None}
    return REPLY_EXAMPLES[model]
