"""Examples of replies about reviews and prices."""

from typing import Any

from contracts import catalog
from contracts.catalog import price_lists
from contracts.model import Model
from edge.openapi.request_examples import DEMO_SKU, EXAMPLE_ID, PRICE

Example = dict[str, Any]

NOW = "2026-01-31T12:00:00Z"
PUBLISHED_REVIEW: Example = {
    "id": EXAMPLE_ID,
    "product_id": EXAMPLE_ID,
    "rating": 5,
    "title": "Warm light",
    "body": "Lights the whole room.",
    "verified": True,
    "answer": "Thank you!",
    "created_at": NOW,
    "updated_at": NOW,
}
REVIEW: Example = {
    **PUBLISHED_REVIEW,
    "user_id": EXAMPLE_ID,
    "order_id": EXAMPLE_ID,
    "status": "published",
    "reason": None,
}

REVIEW_AND_PRICE_EXAMPLES: dict[type[Model], Example] = {
    catalog.ProductReviewList: {
        "items": [PUBLISHED_REVIEW],
        "next": None,
        "rating": {"average": 4.5, "count": 12},
    },
    catalog.Review: REVIEW,
    price_lists.PriceList: {
        "id": EXAMPLE_ID,
        "name": "Summer sale",
        "priority": 10,
        "starts_at": "2026-07-01T00:00:00Z",
        "ends_at": "2026-08-01T00:00:00Z",
    },
    price_lists.ScheduledPrice: {
        "id": EXAMPLE_ID,
        "product_id": EXAMPLE_ID,
        "sku": DEMO_SKU,
        "list_id": None,
        "price": PRICE,
        "compare_at_price": None,
        "min_quantity": 10,
        "starts_at": None,
        "ends_at": "2026-08-01T00:00:00Z",
    },
    price_lists.PriceHistoryEntry: {
        "sku": DEMO_SKU,
        "price": PRICE,
        "list_id": None,
        "starts_at": NOW,
        "recorded_at": NOW,
    },
}
