"""Where everything of one run is: URLs, databases, passwords."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from infra.ops.devstack import mongo, postgres
from infra.ops.devstack.data_dir import layout_of
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import Addresses
from infra.ops.devstack.secret_files import DATABASE, MONGO, NATS, OPERATOR, POSTGRES_SUPERUSER, Vault
from infra.ops.devstack.stack_settings import Options

NOWHERE = Addresses(nats={}, nats_monitor={}, nats_routes={}, postgres=0, mongo=0, smtp=0, http=0, edges={}, ops={})


class Whereabouts:
    """What a test or a command needs to reach the parts of a stack, ours or somebody else's behind a URL."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.layout = layout_of(options.data)
        self.vault = Vault(self.layout.secrets)
        self.addresses = NOWHERE

    @property
    def http_url(self) -> str:
        """The shop: Nginx, or the first edge of a stack without Nginx."""
        port = self.addresses.http or next(iter(self.addresses.edges.values()), 0)
        return f"http://{LOOPBACK}:{port}"

    @property
    def edge_urls(self) -> Sequence[str]:
        return [f"http://{LOOPBACK}:{port}" for port in self.addresses.edges.values()]

    @property
    def nats_url(self) -> str:
        """Every node, with commas between, and without a user; `password` has everybody's."""
        return self.options.nats_url or ",".join(f"nats://{LOOPBACK}:{port}" for port in self.addresses.nats.values())

    @property
    def nats_monitor_url(self) -> str:
        """Of the first node; `nats_monitor_urls` has them all."""
        return next(iter(self.nats_monitor_urls.values()), "")

    @property
    def nats_monitor_urls(self) -> Mapping[str, str]:
        """By process name."""
        return {name: f"http://{LOOPBACK}:{port}" for name, port in self.addresses.nats_monitor.items()}

    @property
    def smtp_port(self) -> int:
        return self.addresses.smtp

    @property
    def postgres_url(self) -> str:
        """The superuser's, for tests and repairs; no service has it."""
        if self.options.postgres_url:
            return self.options.postgres_url
        password = self.vault.secret(OPERATOR, POSTGRES_SUPERUSER)
        return f"postgresql://{postgres.SUPERUSER}:{quote(password)}@{LOOPBACK}:{self.addresses.postgres}/postgres"

    @property
    def mongo_url(self) -> str:
        """The administrator's, for tests and repairs; no service has it."""
        return self.options.mongo_url or mongo.admin_url(self.vault, self.addresses.mongo)

    def dsn(self, service: str, *, with_password: bool = True) -> str:
        """The PostgreSQL database of a service, as that service sees it."""
        place = urlsplit(self.postgres_url)
        secret = f":{quote(self.vault.secret(service, DATABASE))}" if with_password else ""
        tail = f"?{place.query}" if place.query else ""
        return f"postgresql://souk_{service}{secret}@{place.netloc.rpartition('@')[2]}/souk_{service}{tail}"

    def cart_url(self) -> str:
        """The MongoDB database of the cart service, without its password."""
        return mongo.cart_url(self.mongo_url)

    def password(self, user: str) -> str:
        """Of a NATS user: a service, `edge`, `operator`, or a reader."""
        return self.vault.readers().get(user) or self.vault.secret(user, NATS)

    def mongo_password(self) -> str:
        return self.vault.secret("cart", MONGO)

    def urls(self) -> Mapping[str, str]:
        shop = {"shop": self.http_url, "docs": f"{self.http_url}/docs"} if self.addresses.edges else {}
        mail = {"mail": f"smtp://{LOOPBACK}:{self.smtp_port}"} if self.smtp_port else {}
        monitor = {"monitoring": ",".join(self.nats_monitor_urls.values())} if self.nats_monitor_urls else {}
        return {**shop, **mail, "nats": self.nats_url, **monitor}
