"""The address a request comes from: the peer's own, or what a proxy that is ours says of it."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from edge.settings import Network

UNKNOWN = "0.0.0.0"  # noqa: S104 - says that there is no address, and is bound to nothing


class Addresses:
    """`trusted` are the networks of our proxies."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)
        self.of = lru_cache(maxsize=8192)(self._of)

    def _of(self, peer: str, forwarded: str | None, real: str | None) -> str:
        """The nearest address that no proxy of ours has; whatever stands left of it anybody may have written."""
        if not within(peer, self._trusted):
            return peer or UNKNOWN
        hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else [real or peer]
        for hop in reversed(hops):
            if not _is_address(hop):
                return peer
            if not within(hop, self._trusted):
                return hop
        return hops[0]


def within(address: str, networks: Sequence[Network]) -> bool:
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
