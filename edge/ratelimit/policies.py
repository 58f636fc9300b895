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
class Policy:
    """Who is signed in counts for themselves, wherever they are; everybody else by the address they come from."""

    name: str
    window: int
    """Seconds in which an empty bucket is whole again."""
    address: int
    """Requests of one address."""
    customer: int = 0
    """Requests of one customer. 0: a token makes no difference, so that many accounts are no way around it."""
    hashes: bool = False
    """A password is hashed, which takes its time on purpose."""

    def times(self, factor: float) -> "Policy":
        """The same with larger buckets, or smaller ones."""
        address, customer = max(1, round(self.address * factor)), max(1, round(self.customer * factor))
        return dataclasses.replace(self, address=address, customer=customer if self.customer else 0)


ORDINARY = Policy("ordinary", window=10, address=6000, customer=1200)
SEARCH = Policy("search", window=10, address=1200, customer=300)
"""Full-text search, and what is suggested for each letter typed."""
LOGIN = Policy("login", window=60, address=300, hashes=True)
"""Whatever compares or sets a password."""
REGISTER = Policy("register", window=600, address=300, hashes=True)
MAIL = Policy("mail", window=600, address=60, customer=10)
"""Whatever sends somebody a mail."""
PROOF = Policy("proof", window=60, address=60)
"""Tokens out of mails."""
IMPORT = Policy("import", window=600, address=60, customer=60)
IMAGE = Policy("image", window=60, address=240, customer=240)
EXPORT = Policy("export", window=600, address=30, customer=30)
"""Everything there is of something, gathered."""

POLICIES = (ORDINARY, SEARCH, LOGIN, REGISTER, MAIL, PROOF, IMPORT, IMAGE, EXPORT)


class Allowance(NamedTuple):
    """What is left to somebody. Durations are in whole seconds, rounded up."""

    limit: int
    window: int
    remaining: int
    reset: int
    """Until the bucket is whole."""
    wait: int = 0
    """Until there is room for one more; 0 where this one was let through."""

    def headers(self) -> Iterator[tuple[str, str]]:
        yield "RateLimit-Limit", str(self.limit)
        yield "RateLimit-Remaining", str(self.remaining)
        yield "RateLimit-Reset", str(self.reset)
        yield "RateLimit-Policy", f"{self.limit};w={self.window}"
