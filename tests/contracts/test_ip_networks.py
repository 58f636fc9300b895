"""What counts as one address."""

import pytest

from contracts.ip_networks import client_network


@pytest.mark.parametrize(
    ("client", "counts_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(client: str, counts_as: str) -> None:
    assert client_network(client) == counts_as
