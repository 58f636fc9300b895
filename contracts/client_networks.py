"""Groups client addresses: one IPv6 customer controls a whole network, which must count as one address."""

from ipaddress import IPv6Address, ip_address, ip_network

IPV6_PREFIX_BITS = 64
"""Leading bits of an IPv6 address that name one customer's network. The customer chooses the other bits freely."""


def client_network(address: str) -> str:
    """Returns an IPv4 address as it is, an IPv6 address as its /64 network, and any other text unchanged."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((int(parsed), IPV6_PREFIX_BITS), strict=False))
