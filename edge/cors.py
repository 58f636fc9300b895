"""Pages of listed origins may call the API. Tokens travel in a header, never in a cookie: no credentials are shared."""

from collections.abc import MutableMapping

from edge.request_context import RequestContext

ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, traceparent"
RATE_LIMIT_HEADERS = "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy"
EXPOSED_HEADERS = f"ETag, Location, Retry-After, X-Request-Id, Idempotent-Replayed, {RATE_LIMIT_HEADERS}"
PREFLIGHT_MAX_AGE_SECONDS = 600


class CorsPolicy:
    """`origins` as browsers write them: `https://shop.example`."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def add_headers(self, exchange: RequestContext, response_headers: MutableMapping[str, str]) -> None:
        """Adds to an answer's headers what a browser needs to hear."""
        if not self._origins:
            return
        response_headers["Vary"] = f"{response_headers['Vary']}, Origin" if "Vary" in response_headers else "Origin"
        origin = exchange.header("Origin")
        if origin not in self._origins:
            return
        response_headers["Access-Control-Allow-Origin"] = origin
        response_headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if exchange.method == "OPTIONS":
            response_headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            response_headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response_headers["Access-Control-Max-Age"] = str(PREFLIGHT_MAX_AGE_SECONDS)
