"""What guests may do before they have paid: how many orders, and how much of a SKU's stock.

An account has a history and can be banned; a guest has neither. So orders of guests are counted by the client's address
and by the e-mail, each in a bucket that refills continuously and is full again after the window.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Literal

from contracts.catalog import GuestHoldLimit

IPV6_PREFIX_BITS = 64
"""What one subscriber has."""

LimitKind = Literal["address", "email", "cart"]


@dataclass(frozen=True, slots=True)
class GuestOrderBucket:
    """The bucket of one address, e-mail or cart. Each order or coupon guess takes `step_seconds` of refilling."""

    kind: LimitKind
    key: bytes
    step_seconds: float


@dataclass(frozen=True, slots=True)
class GuestLimits:
    """The limits from the settings. A limit of 0 orders, or a share of 1, is none."""

    orders_per_address: int
    orders_per_email: int
    window_seconds: float
    order_share: float
    """Share of a SKU's units on hand that one order may hold."""
    total_share: float
    """Share of a SKU's units on hand that all unpaid orders of guests may hold together."""
    pay_within_seconds: float
    secret: str = field(repr=False)
    """Hashes what orders are counted by, so that no table holds an address or e-mail."""

    @property
    def hold_limit(self) -> GuestHoldLimit | None:
        """What catalog checks; None if guests may hold everything."""
        if self.order_share >= 1 and self.total_share >= 1:
            return None
        return GuestHoldLimit(order_share=self.order_share, total_share=self.total_share)

    def buckets(self, client_ip: str, email: str) -> Iterator[GuestOrderBucket]:
        """Yields the buckets that an order takes from: that of the address first, so that no two orders deadlock."""
        limits: tuple[tuple[LimitKind, int, str], ...] = (
            ("address", self.orders_per_address, network_of(client_ip)),
            ("email", self.orders_per_email, mailbox_of(email)),
        )
        for kind, limit, value in limits:
            if limit and value:
                key = hmac.digest(self.secret.encode(), f"guest limit\0{kind}\0{value}".encode(), "sha256")
                yield GuestOrderBucket(kind, key, self.window_seconds / limit)


def network_of(client_ip: str) -> str:
    """Returns the address that a client is counted by: an IPv6 subscriber has a whole network of them."""
    try:
        address = ip_address(client_ip)
    except ValueError:
        return client_ip
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, IPV6_PREFIX_BITS), strict=False))
    return str(address)


def mailbox_of(email: str) -> str:
    """Returns the mailbox that an e-mail reaches: without regard to case and to a tag (`ada+shop@example.com`)."""
    name, _, domain = email.casefold().rpartition("@")
    return f"{name.partition('+')[0] or name}@{domain}"
