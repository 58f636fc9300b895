"""Finds the client's address: the peer's own, or what a trusted proxy reports."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from edge.settings import IpNetwork

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - stands for a missing address; no socket is bound to it


class ClientIpResolver:
    """Resolves client addresses behind the proxies in `trusted_proxies`."""

    def __init__(self, trusted_proxies: Sequence[IpNetwork]) -> None:
        self._trusted_proxies = tuple(trusted_proxies)
        self.resolve = lru_cache(maxsize=8192)(self._resolve)

    def _resolve(self, peer: str, forwarded_for: str | None, real_ip: str | None) -> str:
        """Returns the nearest address that is not a trusted proxy's. A client can write anything further left."""
        if not is_in_networks(peer, self._trusted_proxies):
            return peer or UNKNOWN_ADDRESS
        hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else [real_ip or peer]
        for hop in reversed(hops):
            if not _is_address(hop):
                return peer
            if not is_in_networks(hop, self._trusted_proxies):
                return hop
        return hops[0]


def is_in_networks(address: str, networks: Sequence[IpNetwork]) -> bool:
    """Whether the text is an IP address in one of the networks."""
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    return any(parsed in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
