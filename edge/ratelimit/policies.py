"""The rate limits, as data: a route names its policy, and `limiter.py` counts.

A limit is a bucket of requests that refills continuously and is full again after its window. A client may use the
whole bucket at once, and from then on as much as comes back. The figures are far above what a shop's page or app sends
and below what harms the shop. Beside these limits the user service counts failed logins by account for a quarter of an
hour, and Nginx has wider limits by address that save the edge the cost of reading a flood.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    """How many requests may be made. Customers have their own bucket at any address; others share their address's."""

    name: str
    window_seconds: int
    """Time in which an empty bucket refills."""
    per_address: int
    """Requests of one address in a window."""
    per_customer: int = 0
    """Requests of one customer in a window. 0: customers count by address too, so that many accounts do not help."""
    hashes_password: bool = False
    """The operation hashes a password, which is slow by design."""

    def scaled(self, factor: float) -> "RateLimitPolicy":
        """Returns the policy with its limits multiplied by a factor."""
        per_address = max(1, round(self.per_address * factor))
        per_customer = max(1, round(self.per_customer * factor)) if self.per_customer else 0
        return dataclasses.replace(self, per_address=per_address, per_customer=per_customer)


ORDINARY = RateLimitPolicy("ordinary", window_seconds=10, per_address=6000, per_customer=1200)
SEARCH = RateLimitPolicy("search", window_seconds=10, per_address=1200, per_customer=300)
"""Full-text search, and suggestions for each letter typed."""
LOGIN = RateLimitPolicy("login", window_seconds=60, per_address=300, hashes_password=True)
"""Operations that compare or set a password."""
REGISTER = RateLimitPolicy("register", window_seconds=600, per_address=300, hashes_password=True)
MAIL = RateLimitPolicy("mail", window_seconds=600, per_address=60, per_customer=10)
"""Operations that send a mail."""
EMAIL_TOKEN = RateLimitPolicy("proof", window_seconds=60, per_address=60)
"""Operations that take a token from a mail."""
IMPORT = RateLimitPolicy("import", window_seconds=60, per_address=60, per_customer=60)
"""Product files, sent or asked for."""
IMAGE = RateLimitPolicy("image", window_seconds=60, per_address=240, per_customer=240)
EXPORT = RateLimitPolicy("export", window_seconds=600, per_address=30, per_customer=30)
"""Operations that gather all the data of one account."""

POLICIES = (ORDINARY, SEARCH, LOGIN, REGISTER, MAIL, EMAIL_TOKEN, IMPORT, IMAGE, EXPORT)


class Allowance(NamedTuple):
    """What is left of a limit after a request. Durations are whole seconds, rounded up."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    """Time until the bucket is full."""
    wait_seconds: int = 0
    """Time until one more request is accepted; 0 when this one was."""

    @property
    def is_refused(self) -> bool:
        """Whether the request exceeded the limit."""
        return self.wait_seconds > 0

    def headers(self) -> Sequence[tuple[str, str]]:
        """Returns the `RateLimit-*` response headers."""
        return (
            ("RateLimit-Limit", str(self.limit)),
            ("RateLimit-Remaining", str(self.remaining)),
            ("RateLimit-Reset", str(self.reset_seconds)),
            ("RateLimit-Policy", f"{self.limit};w={self.window_seconds}"),
        )
