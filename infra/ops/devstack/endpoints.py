"""The URLs, databases and passwords of one run."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from infra.ops.devstack import mongo, postgres
from infra.ops.devstack.data_dir import data_dir_at
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import PortAllocation
from infra.ops.devstack.secret_files import (
    DATABASE_PASSWORD,
    MONGO_PASSWORD,
    NATS_PASSWORD,
    OPERATOR,
    POSTGRES_PASSWORD,
    SecretFiles,
)
from infra.ops.devstack.stack_settings import StackSettings

NO_PORTS = PortAllocation(
    nats={}, nats_monitor={}, nats_routes={}, postgres=0, mongo=0, smtp=0, http=0, edges={}, ops={}
)


class StackEndpoints:
    """How to reach the parts of a stack, whether Souk runs them or a URL names them."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.data_dir = data_dir_at(settings.data)
        self.secrets = SecretFiles(self.data_dir.secrets_dir)
        self.ports = NO_PORTS

    @property
    def http_url(self) -> str:
        """The shop: Nginx, or the first edge in a stack without Nginx."""
        port = self.ports.http or next(iter(self.ports.edges.values()), 0)
        return f"http://{LOOPBACK}:{port}"

    @property
    def edge_urls(self) -> Sequence[str]:
        """The URL of each edge."""
        return [f"http://{LOOPBACK}:{port}" for port in self.ports.edges.values()]

    @property
    def nats_url(self) -> str:
        """The URLs of every node, separated by commas, without user and password."""
        return self.settings.nats_url or ",".join(f"nats://{LOOPBACK}:{port}" for port in self.ports.nats.values())

    @property
    def nats_monitor_url(self) -> str:
        """The monitoring URL of the first node."""
        return next(iter(self.nats_monitor_urls.values()), "")

    @property
    def nats_monitor_urls(self) -> Mapping[str, str]:
        """The monitoring URLs by process name."""
        return {name: f"http://{LOOPBACK}:{port}" for name, port in self.ports.nats_monitor.items()}

    @property
    def smtp_port(self) -> int:
        """The port of the SMTP sink, or 0."""
        return self.ports.smtp

    @property
    def postgres_url(self) -> str:
        """The superuser's URL, for tests and repairs; no service gets it."""
        if self.settings.postgres_url:
            return self.settings.postgres_url
        password = self.secrets.get_or_create(OPERATOR, POSTGRES_PASSWORD)
        return f"postgresql://{postgres.SUPERUSER}:{quote(password)}@{LOOPBACK}:{self.ports.postgres}/postgres"

    @property
    def mongo_url(self) -> str:
        """The administrator's URL, for tests and repairs; no service gets it."""
        return self.settings.mongo_url or mongo.admin_url(self.secrets, self.ports.mongo)

    def dsn(self, service: str, *, with_password: bool = True) -> str:
        """The PostgreSQL URL of a service, under the service's own role."""
        parts = urlsplit(self.postgres_url)
        secret = f":{quote(self.secrets.get_or_create(service, DATABASE_PASSWORD))}" if with_password else ""
        tail = f"?{parts.query}" if parts.query else ""
        return f"postgresql://souk_{service}{secret}@{parts.netloc.rpartition('@')[2]}/souk_{service}{tail}"

    def cart_url(self) -> str:
        """The MongoDB URL of the cart service, without its password."""
        return mongo.cart_url(self.mongo_url)

    def nats_password(self, user: str) -> str:
        """The password of a NATS user: a service, `edge`, `operator` or an event reader."""
        return self.secrets.reader_passwords().get(user) or self.secrets.get_or_create(user, NATS_PASSWORD)

    def cart_mongo_password(self) -> str:
        """The MongoDB password of the cart service."""
        return self.secrets.get_or_create("cart", MONGO_PASSWORD)

    def urls(self) -> Mapping[str, str]:
        """The URLs to show to the user, by label."""
        shop = {"shop": self.http_url, "docs": f"{self.http_url}/docs"} if self.ports.edges else {}
        mail = {"mail": f"smtp://{LOOPBACK}:{self.smtp_port}"} if self.smtp_port else {}
        monitor = {"monitoring": ",".join(self.nats_monitor_urls.values())} if self.nats_monitor_urls else {}
        return {**shop, **mail, "nats": self.nats_url, **monitor}
