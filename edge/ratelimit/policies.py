"""How much anybody may ask for, as data: a route names its policy, `edge/ratelimit/limiter.py` counts.

A limit is a bucket of requests that fills again all the time, whole in `window` seconds: one may take all of it at
once, and from then on as much as comes back. The figures are far above what a shop's page or app does, and below what
hurts. The user service counts failures of its own, by account, for a quarter of an hour; Nginx stands before all this
with more room, for what would not even be worth reading.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    """Who is signed in counts for themselves, wherever they are; everybody else by the address they come from."""

    name: str
    window_seconds: int
    """Seconds in which an empty bucket is whole again."""
    per_address: int
    """Requests of one address."""
    per_customer: int = 0
    """Requests of one customer. 0: a token makes no difference, so that many accounts are no way around it."""
    hashes_password: bool = False
    """A password is hashed, which takes its time on purpose."""

    def scaled(self, factor: float) -> "RateLimitPolicy":
        """The same with larger buckets, or smaller ones."""
        address, customer = max(1, round(self.per_address * factor)), max(1, round(self.per_customer * factor))
        return dataclasses.replace(self, per_address=address, per_customer=customer if self.per_customer else 0)


ORDINARY = RateLimitPolicy("ordinary", window_seconds=10, per_address=6000, per_customer=1200)
SEARCH = RateLimitPolicy("search", window_seconds=10, per_address=1200, per_customer=300)
"""Full-text search, and what is suggested for each letter typed."""
LOGIN = RateLimitPolicy("login", window_seconds=60, per_address=300, hashes_password=True)
"""Whatever compares or sets a password."""
REGISTER = RateLimitPolicy("register", window_seconds=600, per_address=300, hashes_password=True)
MAIL = RateLimitPolicy("mail", window_seconds=600, per_address=60, per_customer=10)
"""Whatever sends somebody a mail."""
EMAIL_TOKEN = RateLimitPolicy("proof", window_seconds=60, per_address=60)
"""Tokens out of mails."""
IMPORT = RateLimitPolicy("import", window_seconds=600, per_address=60, per_customer=60)
IMAGE = RateLimitPolicy("image", window_seconds=60, per_address=240, per_customer=240)
EXPORT = RateLimitPolicy("export", window_seconds=600, per_address=30, per_customer=30)
"""Everything there is of something, gathered."""

POLICIES = (ORDINARY, SEARCH, LOGIN, REGISTER, MAIL, EMAIL_TOKEN, IMPORT, IMAGE, EXPORT)


class Allowance(NamedTuple):
    """What is left to somebody. Durations are in whole seconds, rounded up."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    """Until the bucket is whole."""
    wait_seconds: int = 0
    """Until there is room for one more; 0 where this one was let through."""

    def headers(self) -> Iterator[tuple[str, str]]:
        yield "RateLimit-Limit", str(self.limit)
        yield "RateLimit-Remaining", str(self.remaining)
        yield "RateLimit-Reset", str(self.reset_seconds)
        yield "RateLimit-Policy", f"{self.limit};w={self.window_seconds}"
