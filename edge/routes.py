"""The table of routes: each method and path of the HTTP API, and the operation that answers.

`souk routes` prints it with what each kind of caller may do; docs/generated/access.md shows the same.

A path's parameters are fields of the operation's request. The other fields come from the query of a GET, from the JSON
body, or from an upload that the edge stores first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

from contracts import cart, catalog, gift_cards, notification, order, payment, user
from contracts.catalog import price_operations
from contracts.event_feed import LIST_EVENTS
from contracts.operation import AnyOperation
from contracts.registry import AUDIT_LOGS
from edge.ratelimit import policies
from edge.ratelimit.policies import ORDINARY, SEARCH, RateLimitPolicy

API_PREFIX = "/api/v1"
ORDER_ACCESS_HEADER = "Order-Access"
"""The request header with the token of a guest's order."""
MEBIBYTE = 1024 * 1024


class BodyFormat(Enum):
    """The media type of a request body. With `NONE` the fields come from the query."""

    NONE = ""
    JSON = "application/json"
    IMAGE = "multipart/form-data"
    CSV = "text/csv"

    @property
    def max_bytes(self) -> int:
        """The size of a body, or of the file in a form."""
        return _MAX_BYTES[self]


_MAX_BYTES = {
    BodyFormat.NONE: 0,
    BodyFormat.JSON: 1 * MEBIBYTE,
    BodyFormat.IMAGE: 10 * MEBIBYTE,
    BodyFormat.CSV: 50 * MEBIBYTE,
}


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint."""

    method: str
    path: str
    operation: AnyOperation
    status: HTTPStatus = HTTPStatus.OK
    body_format: BodyFormat = BodyFormat.NONE
    location: str = ""
    """The path of the created resource; `{id}` is the reply's id."""
    cache_control: str = ""
    """The `Cache-Control` of a response that is the same for all callers."""
    moves_money: bool = False
    """The operation moves money: a setting makes the Idempotency-Key required."""
    content_type: str = "application/json"
    rate_limit: RateLimitPolicy = ORDINARY
    """How often it may be requested."""

    @property
    def max_age(self) -> int:
        """Seconds for which a response that is the same for all callers may be kept; 0 for any other response."""
        found = _PUBLIC_MAX_AGE.match(self.cache_control)
        return int(found[1]) if found else 0


_PUBLIC_MAX_AGE = re.compile(r"public, max-age=(\d+)")
CREATED, ACCEPTED, NO_CONTENT = HTTPStatus.CREATED, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT
SHORT_CACHE = "public, max-age=1"
PDF = "application/pdf"
IMMUTABLE_CACHE = "public, max-age=31536000, immutable"


def _get(
    path: str,
    operation: AnyOperation,
    *,
    cache_control: str = "",
    content_type: str = "application/json",
    rate_limit: RateLimitPolicy = ORDINARY,
) -> Route:
    return Route(
        "GET",
        path,
        operation,
        cache_control=cache_control,
        content_type=content_type,
        rate_limit=rate_limit,
    )


def _post(
    path: str,
    operation: AnyOperation,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    body_format: BodyFormat = BodyFormat.JSON,
    location: str = "",
    moves_money: bool = False,
    rate_limit: RateLimitPolicy = ORDINARY,
) -> Route:
    return Route("POST", path, operation, status, body_format, location, moves_money=moves_money, rate_limit=rate_limit)


def _put(
    path: str, operation: AnyOperation, status: HTTPStatus = HTTPStatus.OK, *, rate_limit: RateLimitPolicy = ORDINARY
) -> Route:
    return Route("PUT", path, operation, status, BodyFormat.JSON, rate_limit=rate_limit)


def _patch(path: str, operation: AnyOperation) -> Route:
    return Route("PATCH", path, operation, body_format=BodyFormat.JSON)


def _delete(path: str, operation: AnyOperation, status: HTTPStatus = NO_CONTENT) -> Route:
    return Route("DELETE", path, operation, status)


ACCOUNT_ROUTES = (
    _post("/auth/register", user.REGISTER, CREATED, location="/users/profile", rate_limit=policies.REGISTER),
    _post("/auth/login", user.LOGIN, rate_limit=policies.LOGIN),
    _post("/auth/refresh", user.REFRESH),
    _post("/auth/logout", user.LOGOUT, NO_CONTENT),
    _post("/auth/password/forgot", user.FORGOT_PASSWORD, ACCEPTED, rate_limit=policies.MAIL),
    _post("/auth/password/reset", user.RESET_PASSWORD, NO_CONTENT, rate_limit=policies.LOGIN),
    _post("/auth/email/verify", user.VERIFY_EMAIL, NO_CONTENT, rate_limit=policies.EMAIL_TOKEN),
    _get("/users/profile", user.PROFILE),
    _put("/users/profile", user.UPDATE_PROFILE),
    _put("/users/profile/password", user.CHANGE_PASSWORD, NO_CONTENT, rate_limit=policies.LOGIN),
    _post("/users/profile/email/verification", user.REQUEST_VERIFICATION, ACCEPTED, rate_limit=policies.MAIL),
    _post("/users/profile/totp", user.START_TOTP, CREATED, rate_limit=policies.LOGIN),
    _post("/users/profile/totp/confirm", user.CONFIRM_TOTP, rate_limit=policies.LOGIN),
    _post("/users/profile/totp/recovery-codes", user.RENEW_RECOVERY_CODES, rate_limit=policies.LOGIN),
    _post("/users/profile/totp/disable", user.DISABLE_TOTP, NO_CONTENT, rate_limit=policies.LOGIN),
    Route("DELETE", "/users/profile/totp", user.DISABLE_TOTP, NO_CONTENT, BodyFormat.JSON, rate_limit=policies.LOGIN),
    _get("/users/profile/export", user.EXPORT, rate_limit=policies.EXPORT),
    Route(
        "DELETE",
        "/users/profile",
        user.ERASE,
        ACCEPTED,
        BodyFormat.JSON,
        location="/users/erasures/{id}",
        rate_limit=policies.LOGIN,
    ),
    _get("/users/erasures/{id}", user.ERASURE),
    _get("/users/profile/sessions", user.LIST_SESSIONS),
    _delete("/users/profile/sessions/{id}", user.END_SESSION),
    _get("/users/profile/addresses", user.LIST_ADDRESSES),
    _post("/users/profile/addresses", user.ADD_ADDRESS, CREATED),
    _put("/users/profile/addresses/{id}", user.REPLACE_ADDRESS),
    _delete("/users/profile/addresses/{id}", user.REMOVE_ADDRESS),
    _get("/users", user.LIST_USERS),
    _get("/users/{id}", user.GET_USER),
    _put("/users/{id}", user.UPDATE_USER),
    _post("/users/{id}/ban", user.BAN),
    _post("/users/{id}/unban", user.UNBAN),
    _delete("/users/{id}/totp", user.REMOVE_TOTP),
    _get("/api-keys", user.LIST_API_KEYS),
    _post("/api-keys", user.MAKE_API_KEY, CREATED),
    _delete("/api-keys/{id}", user.REVOKE_API_KEY),
)

CATALOG_ROUTES = (
    _get("/products", catalog.LIST_PRODUCTS, cache_control=SHORT_CACHE),
    _get("/products/search", catalog.SEARCH_PRODUCTS, cache_control=SHORT_CACHE, rate_limit=SEARCH),
    _get("/products/suggest", catalog.SUGGEST, cache_control=SHORT_CACHE, rate_limit=SEARCH),
    _get("/products/{key}", catalog.GET_PRODUCT, cache_control=SHORT_CACHE),
    _post("/products", catalog.CREATE_PRODUCT, CREATED, location="/products/{id}"),
    _put("/products/{id}", catalog.REPLACE_PRODUCT),
    _patch("/products/{id}", catalog.CHANGE_PRODUCT),
    _delete("/products/{id}", catalog.DEACTIVATE_PRODUCT),
    _post("/products/{id}/images", catalog.ADD_IMAGE, CREATED, body_format=BodyFormat.IMAGE, rate_limit=policies.IMAGE),
    _put("/products/{id}/images/{image_id}", catalog.CHANGE_IMAGE),
    _delete("/products/{id}/images/{image_id}", catalog.DELETE_IMAGE),
    _post(
        "/products/import",
        catalog.START_IMPORT,
        ACCEPTED,
        body_format=BodyFormat.CSV,
        location="/products/import/{id}",
        rate_limit=policies.IMPORT,
    ),
    _get("/products/import/{id}", catalog.GET_IMPORT),
    _get("/products/export", catalog.EXPORT_PRODUCTS, content_type="text/csv", rate_limit=policies.IMPORT),
    _get("/products/{id}/reviews", catalog.LIST_PRODUCT_REVIEWS, cache_control=SHORT_CACHE),
    _post("/products/{id}/reviews", catalog.CREATE_REVIEW, CREATED, location="/reviews/{id}"),
    _get("/reviews", catalog.LIST_REVIEWS),
    _get("/reviews/{id}", catalog.GET_REVIEW),
    _put("/reviews/{id}", catalog.REPLACE_REVIEW),
    _delete("/reviews/{id}", catalog.DELETE_REVIEW),
    _post("/reviews/{id}/publish", catalog.PUBLISH_REVIEW),
    _post("/reviews/{id}/reject", catalog.REJECT_REVIEW),
    _post("/reviews/{id}/answer", catalog.ANSWER_REVIEW),
    _get("/products/{id}/prices", price_operations.LIST_PRICES),
    _post("/products/{id}/prices", price_operations.CREATE_PRICE, CREATED),
    _get("/products/{id}/prices/history", price_operations.LIST_PRICE_HISTORY),
    _delete("/products/{id}/prices/{price_id}", price_operations.DELETE_PRICE),
    _get("/price-lists", price_operations.LIST_PRICE_LISTS),
    _post("/price-lists", price_operations.CREATE_PRICE_LIST, CREATED, location="/price-lists/{id}"),
    _get("/price-lists/{id}", price_operations.GET_PRICE_LIST),
    _put("/price-lists/{id}", price_operations.REPLACE_PRICE_LIST),
    _delete("/price-lists/{id}", price_operations.DELETE_PRICE_LIST),
    _get("/search/synonyms", catalog.GET_SYNONYMS),
    _put("/search/synonyms", catalog.REPLACE_SYNONYMS),
    _get("/categories", catalog.LIST_CATEGORIES, cache_control=SHORT_CACHE),
    _get("/categories/{id}", catalog.GET_CATEGORY, cache_control=SHORT_CACHE),
    _post("/categories", catalog.CREATE_CATEGORY, CREATED, location="/categories/{id}"),
    _put("/categories/{id}", catalog.REPLACE_CATEGORY),
    _delete("/categories/{id}", catalog.DELETE_CATEGORY),
    _get("/inventory", catalog.LIST_STOCK),
    _post("/inventory/import", catalog.IMPORT_INVENTORY, body_format=BodyFormat.CSV, rate_limit=policies.IMPORT),
    _get("/inventory/{sku}", catalog.GET_STOCK),
    _post("/inventory/{sku}/adjustments", catalog.ADJUST_STOCK),
    _get("/inventory/{sku}/movements", catalog.LIST_STOCK_MOVEMENTS),
)

CART_ROUTES = (
    _post("/carts", cart.CREATE, CREATED, location="/carts/{id}"),
    _post("/carts/mine/merge", cart.MERGE),
    _get("/carts/{id}", cart.GET),
    _delete("/carts/{id}", cart.CLEAR, HTTPStatus.OK),
    _post("/carts/{id}/items", cart.ADD),
    _put("/carts/{id}/items/{sku}", cart.SET),
    _delete("/carts/{id}/items/{sku}", cart.REMOVE, HTTPStatus.OK),
    _put("/carts/{id}/coupon", cart.SET_COUPON),
    _delete("/carts/{id}/coupon", cart.REMOVE_COUPON, HTTPStatus.OK),
)

ORDER_ROUTES = (
    _post("/orders", order.PLACE, CREATED, location="/orders/{id}", moves_money=True),
    _get("/orders", order.LIST),
    _get("/orders/export", order.EXPORT_ORDERS, content_type="text/csv", rate_limit=policies.IMPORT),
    _post("/orders/lookup", order.LOOK_UP, ACCEPTED, rate_limit=policies.MAIL),
    _get("/orders/{id}", order.GET),
    _post("/orders/{id}/cancel", order.CANCEL),
    Route("DELETE", "/orders/{id}", order.CANCEL, HTTPStatus.OK, BodyFormat.JSON),
    _put("/orders/{id}", order.UPDATE),
    _post("/orders/{id}/fulfilments", order.CREATE_FULFILMENT, CREATED),
    _put("/fulfilments/{id}", order.UPDATE_FULFILMENT),
    _get("/orders/{id}/invoice", order.GET_INVOICE, content_type=PDF),
    _get("/orders/{id}/credit-notes/{n}", order.GET_CREDIT_NOTE, content_type=PDF),
    _post("/orders/{id}/pay", order.PAY, ACCEPTED, moves_money=True),
    _get("/orders/{id}/events", order.FOLLOW, content_type="text/event-stream"),
    _post("/orders/{id}/events/ticket", order.CREATE_EVENT_STREAM_TICKET, CREATED),
    _post("/orders/{id}/claim", order.CLAIM),
    _post("/orders/{id}/notes", order.ADD_NOTE, CREATED),
)

PRICING_ROUTES = (
    _get("/tax-rates", order.LIST_TAX_RATES),
    _post("/tax-rates", order.CREATE_TAX_RATE, CREATED, location="/tax-rates/{id}"),
    _get("/tax-rates/settings", order.GET_TAX_SETTINGS),
    _put("/tax-rates/settings", order.REPLACE_TAX_SETTINGS),
    _get("/tax-rates/{id}", order.GET_TAX_RATE),
    _put("/tax-rates/{id}", order.REPLACE_TAX_RATE),
    _delete("/tax-rates/{id}", order.DELETE_TAX_RATE),
    _get("/shipping-zones", order.LIST_SHIPPING_ZONES),
    _post("/shipping-zones", order.CREATE_SHIPPING_ZONE, CREATED, location="/shipping-zones/{id}"),
    _get("/shipping-zones/{id}", order.GET_SHIPPING_ZONE),
    _put("/shipping-zones/{id}", order.REPLACE_SHIPPING_ZONE),
    _delete("/shipping-zones/{id}", order.DELETE_SHIPPING_ZONE),
    _get("/coupons", order.LIST_COUPONS),
    _post("/coupons", order.CREATE_COUPON, CREATED, location="/coupons/{id}"),
    _get("/coupons/{id}", order.GET_COUPON),
    _put("/coupons/{id}", order.REPLACE_COUPON),
    _delete("/coupons/{id}", order.DELETE_COUPON),
    _post("/coupons/{id}/codes", order.CREATE_COUPON_CODES, CREATED),
)

PAYMENT_ROUTES = (
    _post("/payments", payment.CREATE, CREATED, location="/payments/{id}", moves_money=True),
    _get("/payments", payment.LIST),
    _get("/payments/{id}", payment.GET),
    _post("/payments/{id}/confirm", payment.CONFIRM),
    _post("/payments/{id}/refund", payment.REFUND, moves_money=True),
    _get("/gift-cards", gift_cards.LIST_GIFT_CARDS),
    _post("/gift-cards", gift_cards.ISSUE_GIFT_CARD, CREATED, location="/gift-cards/{id}", moves_money=True),
    _post("/gift-cards/balance", gift_cards.FIND_GIFT_CARD),
    _get("/gift-cards/{id}", gift_cards.GET_GIFT_CARD),
    _post("/gift-cards/{id}/disable", gift_cards.DISABLE_GIFT_CARD),
)

NOTIFICATION_ROUTES = (_get("/notifications", notification.LIST), _get("/events", LIST_EVENTS))

AUDIT_ROUTES = tuple(_get(f"/audit/{service}", operation) for service, operation in AUDIT_LOGS.items())

ROUTES: tuple[Route, ...] = (
    *ACCOUNT_ROUTES,
    *CATALOG_ROUTES,
    *CART_ROUTES,
    *ORDER_ROUTES,
    *PRICING_ROUTES,
    *PAYMENT_ROUTES,
    *NOTIFICATION_ROUTES,
    *AUDIT_ROUTES,
)

ROOT_ROUTES: tuple[Route, ...] = (
    _get(
        "/images/{image_id}/{width}.webp", catalog.GET_IMAGE, cache_control=IMMUTABLE_CACHE, content_type="image/webp"
    ),
    _get("/.well-known/jwks.json", user.JWKS, cache_control="public, max-age=300"),
)
"""Routes outside `/api/v1`, whose addresses other systems store."""


def all_routes() -> Iterator[tuple[str, Route]]:
    """Yields each route with its full path."""
    yield from ((API_PREFIX + route.path, route) for route in ROUTES)
    yield from ((route.path, route) for route in ROOT_ROUTES)
