"""How many coupon codes that do not exist may be tried from one address and for one cart."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.order.domain.guest_limits import GuestOrderBucket, LimitKind, network_of


@dataclass(frozen=True, slots=True)
class CouponGuessLimit:
    """The limit from the settings; 0 is none. Guesses are counted in buckets, as guests' orders are."""

    limit: int
    window_seconds: float
    secret: str = field(repr=False)

    def buckets(self, client_ip: str, cart_reference: str) -> Iterator[GuestOrderBucket]:
        """Yields the buckets that a guess takes from."""
        counted: tuple[tuple[LimitKind, str], ...] = (("address", network_of(client_ip)), ("cart", cart_reference))
        for kind, value in counted:
            if self.limit and value:
                key = hmac.digest(self.secret.encode(), f"coupon guess\0{kind}\0{value}".encode(), "sha256")
                yield GuestOrderBucket(kind, key, self.window_seconds / self.limit)
