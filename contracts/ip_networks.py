"""What counts as one address, wherever somebody is known by theirs."""

from ipaddress import IPv6Address, ip_address, ip_network

NEIGHBOURHOOD = 64
"""Bits of an IPv6 address that name one customer's network; the rest is free for them to choose."""


def neighbourhood(client: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 one."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), NEIGHBOURHOOD), strict=False))
