"""CORS: lets pages of configured origins call the API. Tokens travel in a header, never in a cookie, so no credentials
are shared.
"""

from collections.abc import MutableMapping

from edge.request_context import RequestContext

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Order-Access, X-Request-Id, "
    "traceparent"
)
RATE_LIMIT_HEADERS = "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy"
EXPOSED_HEADERS = f"ETag, Location, Retry-After, X-Request-Id, Idempotent-Replayed, {RATE_LIMIT_HEADERS}"
PREFLIGHT_MAX_AGE_SECONDS = 600


class CorsPolicy:
    """The allowed origins, as browsers write them: `https://shop.example`."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def add_headers(self, context: RequestContext, response_headers: MutableMapping[str, str]) -> None:
        """Adds the CORS headers that a browser needs to accept the response."""
        if not self._origins:
            return
        vary = response_headers.get("Vary")
        response_headers["Vary"] = f"{vary}, Origin" if vary is not None else "Origin"
        origin = context.header("Origin")
        if origin not in self._origins:
            return
        response_headers["Access-Control-Allow-Origin"] = origin
        response_headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if context.method == "OPTIONS":
            response_headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            response_headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response_headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE_SECONDS)
