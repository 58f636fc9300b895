"""Which client address a request has."""

from ipaddress import ip_network

import pytest

from edge.client_ip import UNKNOWN_ADDRESS, ClientIpResolver, is_in_networks

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
RESOLVER = ClientIpResolver((*LOOPBACK, ip_network("10.0.0.0/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "real_ip", "client_ip"),
    [
        ("127.0.0.1", None, None, "127.0.0.1"),
        ("127.0.0.1", "192.0.2.7", None, "192.0.2.7"),
        ("127.0.0.1", None, "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.7", None, "192.0.2.7"),
        ("127.0.0.1", "6.6.6.6, 192.0.2.7, 10.1.1.1", None, "192.0.2.7"),
        ("127.0.0.1", "10.1.1.1, 10.2.2.2", None, "10.1.1.1"),
        ("127.0.0.1", "unknown", None, "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1\r\nX: y", None, "127.0.0.1"),
        ("::1", "2001:db8::1", None, "2001:db8::1"),
        ("192.0.2.9", "127.0.0.1", "127.0.0.1", "192.0.2.9"),
        ("", "192.0.2.7", None, UNKNOWN_ADDRESS),
    ],
)
def test_trusts_only_its_own_proxies(peer: str, forwarded_for: str | None, real_ip: str | None, client_ip: str) -> None:
    assert RESOLVER.resolve(peer, forwarded_for, real_ip) == client_ip


def test_text_that_is_no_address_is_in_no_network() -> None:
    assert not is_in_networks("localhost", LOOPBACK)
    assert is_in_networks("127.9.9.9", LOOPBACK)
