"""Finds the client's address: the peer's own, or what a trusted proxy reports.

A proxy is trusted if it proves with the header `X-Proxy-Secret` that it is this shop's Nginx, or if its address is in a
configured network. No address is trusted by default: on a shared machine, any program can connect from loopback.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address

from edge.settings import IpNetwork

PROXY_SECRET_HEADER = "X-Proxy-Secret"  # noqa: S105 - the name of a header
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - stands for a missing address; no socket is bound to it
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([^:]*):\d{1,5}")
"""`[2001:db8::1]:443`, `[2001:db8::1]` or `192.0.2.7:443`, as some proxies write an address."""


class ClientIpResolver:
    """Resolves client addresses behind Nginx, which knows `proxy_secret`, and behind the `trusted_proxies`."""

    def __init__(self, trusted_proxies: Sequence[IpNetwork], proxy_secret: str = "") -> None:
        self._trusted_proxies = tuple(trusted_proxies)
        self._proxy_secret = proxy_secret.encode()
        self._is_trusted = lru_cache(maxsize=8192)(self._is_trusted_address)
        self._find_client = lru_cache(maxsize=8192)(self._nearest_untrusted)

    def resolve(
        self, peer: str, forwarded_for: Sequence[str] = (), real_ip: str | None = None, secret: str | None = None
    ) -> str:
        """Returns the peer's address, or behind a trusted proxy the nearest address that is not a trusted proxy's.

        `forwarded_for` has every line of X-Forwarded-For. X-Real-IP counts only without it.
        """
        if not self._is_trusted(peer) and not self._is_our_nginx(secret):
            return parse_address(peer) or UNKNOWN_ADDRESS
        return self._find_client(peer, ",".join(forwarded_for) or real_ip or "")

    def _is_our_nginx(self, given: str | None) -> bool:
        return bool(self._proxy_secret and given) and compare_digest(
            str(given).encode(errors="surrogateescape"), self._proxy_secret
        )

    def _nearest_untrusted(self, peer: str, forwarded_for: str) -> str:
        """Goes from the right, since a client can write anything further left. Stops before what is no address."""
        nearest = parse_address(peer) or UNKNOWN_ADDRESS
        for hop in reversed(forwarded_for.split(",")):
            address = parse_address(hop)
            if address is None:
                break
            nearest = address
            if not self._is_trusted(address):
                break
        return nearest

    def _is_trusted_address(self, address: str) -> bool:
        return is_in_networks(address, self._trusted_proxies)


def is_in_networks(address: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether the text is an IP address in one of the networks."""
    known = parse_address(address)
    return known is not None and any(ip_address(known) in network for network in networks)


def parse_address(text: str) -> str | None:
    """Returns an address in its usual form, without a port or zone; None for other text.

    An IPv4 address that is written as IPv6 (`::ffff:192.0.2.7`) becomes IPv4, so that each client has one address.
    """
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found[1] if found[1] is not None else found[2]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str((parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None) or parsed)
