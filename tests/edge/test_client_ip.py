"""Which client address a request has."""

from ipaddress import ip_network

import pytest

from edge.client_ip import UNKNOWN_ADDRESS, ClientIpResolver, is_in_networks
from edge.settings import EdgeSettings
from infra.ops.devstack.stack import Stack
from tests.support.http import HttpClient

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
RESOLVER = ClientIpResolver((*LOOPBACK, ip_network("10.0.0.0/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client_ip"),
    [
        ("127.0.0.1", (), "127.0.0.1"),
        ("127.0.0.1", ("192.0.2.7",), "192.0.2.7"),
        ("127.0.0.1", ("6.6.6.6, 192.0.2.7",), "192.0.2.7"),
        ("127.0.0.1", ("6.6.6.6", "192.0.2.7"), "192.0.2.7"),
        ("127.0.0.1", ("6.6.6.6, 192.0.2.7, 10.1.1.1",), "192.0.2.7"),
        ("127.0.0.1", ("6.6.6.6, 192.0.2.7", "10.1.1.1,127.0.0.2"), "192.0.2.7"),
        ("127.0.0.1", ("10.1.1.1, 10.2.2.2",), "10.1.1.1"),
        ("127.0.0.1", ("unknown",), "127.0.0.1"),
        ("127.0.0.1", ("6.6.6.6, unknown, 10.1.1.1",), "10.1.1.1"),
        ("127.0.0.1", ("127.0.0.1\r\nX: y",), "127.0.0.1"),
        ("127.0.0.1", ("192.0.2.7,",), "127.0.0.1"),
        ("127.0.0.1", ("192.0.2.7:443",), "192.0.2.7"),
        ("127.0.0.1", ("[2001:DB8::1]:443",), "2001:db8::1"),
        ("127.0.0.1", ("[2001:db8::1]",), "2001:db8::1"),
        ("127.0.0.1", ("fe80::1%eth0",), "fe80::1"),
        ("127.0.0.1", ("::ffff:192.0.2.7",), "192.0.2.7"),
        ("127.0.0.1", ("6.6.6.6, ::ffff:10.1.1.1",), "6.6.6.6"),
        ("::ffff:10.9.9.9", ("192.0.2.7",), "192.0.2.7"),
        ("::1", ("2001:db8::1",), "2001:db8::1"),
        ("192.0.2.9", ("127.0.0.1",), "192.0.2.9"),
        ("", ("192.0.2.7",), UNKNOWN_ADDRESS),
    ],
)
def test_trusts_only_its_own_proxies(peer: str, forwarded_for: tuple[str, ...], client_ip: str) -> None:
    assert RESOLVER.resolve(peer, forwarded_for) == client_ip


def test_x_real_ip_counts_without_x_forwarded_for() -> None:
    assert RESOLVER.resolve("127.0.0.1", real_ip="192.0.2.7") == "192.0.2.7"
    assert RESOLVER.resolve("127.0.0.1", ["192.0.2.8"], "192.0.2.7") == "192.0.2.8"
    assert RESOLVER.resolve("192.0.2.9", real_ip="192.0.2.7") == "192.0.2.9"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "192.168.1.1"])
def test_no_network_is_trusted_by_default(peer: str) -> None:
    defaults = EdgeSettings(_env_file=None, nats_password="x")  # type: ignore[arg-type]  # the model makes it a secret
    secret = defaults.edge_proxy_secret.get_secret_value()
    resolver = ClientIpResolver(defaults.edge_trusted_proxies, secret)
    for guess in ("", "guess"):
        own = peer.removeprefix("::ffff:")
        assert resolver.resolve(peer, ["192.0.2.7"], "192.0.2.7", guess) == own


@pytest.mark.parametrize(
    ("secret", "client_ip"), [("of-nginx", "192.0.2.7"), ("guess", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_nginx_proves_itself_with_the_secret(secret: str, client_ip: str) -> None:
    resolver = ClientIpResolver((), "of-nginx")
    assert resolver.resolve("127.0.0.1", ["6.6.6.6, 192.0.2.7"], secret=secret) == client_ip


@pytest.mark.parametrize("secret", ["é", "\udcff", "of-nginx\x00", "OF-NGINX", "x" * 10_000])
def test_any_other_secret_is_refused(secret: str) -> None:
    assert ClientIpResolver((), "of-nginx").resolve("127.0.0.1", ["192.0.2.7"], secret=secret) == "127.0.0.1"


async def test_a_program_that_bypasses_nginx_cannot_choose_its_address(stack: Stack, http: HttpClient) -> None:
    """The stack's edges trust the secret of Nginx, and no address."""
    claimed = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", "X-Proxy-Secret": "guess"}
    direct = HttpClient(http.session, stack.edge_urls[0])
    assert (await direct.get("//metrics", headers=claimed)).status == 200, "it counts as loopback"
    secret = stack.secrets.get_or_create("edge", "souk_edge_proxy_secret")
    assert (await direct.get("//metrics", headers=claimed | {"X-Proxy-Secret": secret})).status == 404


def test_text_that_is_no_address_is_in_no_network() -> None:
    assert not is_in_networks("localhost", LOOPBACK)
    assert is_in_networks("127.9.9.9", LOOPBACK)
