"""The address a request comes from: the peer's own, or what a proxy that is ours says of it."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from edge.settings import IpNetwork

UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - says that there is no address, and is bound to nothing


class ClientIpResolver:
    """`trusted` are the networks of our proxies."""

    def __init__(self, trusted: Sequence[IpNetwork]) -> None:
        self._trusted = tuple(trusted)
        self.resolve = lru_cache(maxsize=8192)(self._of)

    def _of(self, peer: str, forwarded: str | None, real: str | None) -> str:
        """The nearest address that no proxy of ours has; whatever stands left of it anybody may have written."""
        if not is_in_networks(peer, self._trusted):
            return peer or UNKNOWN_ADDRESS
        hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else [real or peer]
        for hop in reversed(hops):
            if not _is_address(hop):
                return peer
            if not is_in_networks(hop, self._trusted):
                return hop
        return hops[0]


def is_in_networks(address: str, networks: Sequence[IpNetwork]) -> bool:
    if not _is_address(address):
        return False
    found = ip_address(address)
    return any(found in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
