"""Pages of listed origins may call the API. Tokens travel in a header, never in a cookie: no credentials are shared."""

from collections.abc import MutableMapping

from edge.request_context import Exchange

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
SENT = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, traceparent"
LIMITS = "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy"
READ = f"ETag, Location, Retry-After, X-Request-Id, Idempotent-Replayed, {LIMITS}"
PREFLIGHT_SECONDS = 600


class Cors:
    """`origins` as browsers write them: `https://shop.example`."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def allow(self, exchange: Exchange, said: MutableMapping[str, str]) -> None:
        """Adds to an answer's headers what a browser needs to hear."""
        if not self._origins:
            return
        said["Vary"] = f"{said['Vary']}, Origin" if "Vary" in said else "Origin"
        origin = exchange.header("Origin")
        if origin not in self._origins:
            return
        said["Access-Control-Allow-Origin"] = origin
        said["Access-Control-Expose-Headers"] = READ
        if exchange.method == "OPTIONS":
            said["Access-Control-Allow-Methods"] = METHODS
            said["Access-Control-Allow-Headers"] = SENT
            said["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
