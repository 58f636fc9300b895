"""The headers of the HTTP API, as shared components of the OpenAPI document."""

from contracts import order
from contracts.failure import PreconditionFailed
from edge.openapi.schemas import Schema
from edge.routes import Route


def _header(text: str, kind: str, example: object, **schema: object) -> Schema:
    return {"description": text, "schema": {"type": kind, **schema}, "example": example}


RATE_LIMIT_HEADERS: dict[str, Schema] = {
    "Retry-After": _header("Seconds until another request is allowed.", "integer", 3),
    "RateLimit-Limit": _header("The number of requests allowed at once.", "integer", 1200),
    "RateLimit-Remaining": _header("How many of them are left.", "integer", 0),
    "RateLimit-Reset": _header("Seconds until all of them are available again.", "integer", 10),
    "RateLimit-Policy": _header("The limit, and the seconds in which it is fully restored.", "string", "1200;w=10"),
}
RESPONSE_HEADERS: dict[str, Schema] = {
    "X-Request-Id": _header("Names this request in logs.", "string", "019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44"),
    "Location": _header(
        "The path of what was created, or of what has moved.",
        "string",
        "/api/v1/orders/019a9f3e-6c1d-7c54-9a5e-0f3c7d1b2a44",
    ),
    "ETag": _header(
        "Names this response: the resource's version, and a digest of the response's bytes.",
        "string",
        '"7.8d4a1c90b2f3e657"',
    ),
    "Age": _header("Seconds since this was read, if it comes from a cache.", "integer", 0, minimum=0),
    "Idempotent-Replayed": _header(
        "Set if this response was already given to an earlier request with the same Idempotency-Key.",
        "string",
        "true",
        enum=["true"],
    ),
    **RATE_LIMIT_HEADERS,
}
REQUEST_HEADERS: dict[str, Schema] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": (
            "Names this request. Sent again within 24 hours with the same body, it takes effect only once. Without "
            "signing in it must carry at least 128 random bits: use a UUID, or 22 random letters and digits, so that "
            "another guest does not choose the same key."
        ),
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        "example": "9f1c7d52-4b7e-4f0a-9a6d-2c8e5b1f7d30",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "required": False,
        "description": (
            "The ETag that you read, or a list. If the resource has another version since, the request is refused "
            "with 412. Only the part before the dot is compared, so a change of stock does not count."
        ),
        "schema": {"type": "string"},
        "example": '"7.8d4a1c90b2f3e657"',
    },
}
LAST_EVENT_ID: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was received. An EventSource sends it when it reconnects.",
    "schema": {"type": "string"},
    "example": "1734",
}
REPLIES_WITH_VERSION = frozenset({"Product", "Cart", "Order", "PlacedOrder", "Review"})


def header_refs(*names: str) -> Schema:
    """Returns references to response headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def request_headers(route: Route) -> list[Schema]:
    """Returns the header parameters that a route takes."""
    names = ["IdempotencyKey"] if route.method == "POST" else []
    names += ["IfMatch"] if PreconditionFailed in route.operation.failures else []
    own = [LAST_EVENT_ID] if route.operation is order.FOLLOW else []
    return [*({"$ref": f"#/components/parameters/{name}"} for name in names), *own]


def response_headers(route: Route) -> Schema:
    """Returns the headers of a route's successful response."""
    names = ["X-Request-Id"]
    if route.location:
        names.append("Location")
    if route.operation.writes and route.method == "POST":
        names.append("Idempotent-Replayed")
    if PreconditionFailed in route.operation.failures or route.operation.reply.__name__ in REPLIES_WITH_VERSION:
        names.append("ETag")
    if route.max_age:
        names.append("Age")
    return header_refs(*names)
