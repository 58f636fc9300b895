"""How often orders may be looked up from one address, and how many links may be mailed to one mailbox."""

import hmac
from dataclasses import dataclass, field

from services.order.domain.guest_limits import GuestOrderBucket, LimitKind, mailbox_of, network_of


@dataclass(frozen=True, slots=True)
class OrderLookupLimits:
    """The limits from the settings; 0 is none. Look-ups are counted in buckets, as guests' orders are.

    They count whether or not there is such an order, so that a refusal tells nothing about it.
    """

    per_address: int
    per_email: int
    window_seconds: float
    secret: str = field(repr=False)

    def buckets_of_address(self, client_ip: str) -> list[GuestOrderBucket]:
        """Returns what a look-up from this client takes from."""
        return self._buckets("address", network_of(client_ip), self.per_address)

    def buckets_of_mailbox(self, email: str) -> list[GuestOrderBucket]:
        """Returns what a mail to this mailbox takes from."""
        return self._buckets("email", mailbox_of(email), self.per_email)

    def _buckets(self, kind: LimitKind, value: str, limit: int) -> list[GuestOrderBucket]:
        if not limit or not value:
            return []
        key = hmac.digest(self.secret.encode(), f"order lookup\0{kind}\0{value}".encode(), "sha256")
        return [GuestOrderBucket(kind, key, self.window_seconds / limit)]
