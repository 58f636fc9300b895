"""Souk's own processes, each with an environment for its settings. Secrets are in files, not in the environment."""

import sys
from collections.abc import Mapping
from types import MappingProxyType

from infra.ops.devstack.child_environment import python_environment, service_environment
from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import EDGE_PROCESS, PortAllocation
from infra.ops.devstack.readiness_probes import http_ok, sends_greeting
from infra.ops.devstack.secret_files import (
    ACCESS_SECRET,
    DATABASE_PASSWORD,
    GIFT_CARD_SECRET,
    KEYS_SECRET,
    MONGO_PASSWORD,
    NATS_PASSWORD,
    PROXY_SECRET,
    SecretFiles,
)
from infra.ops.devstack.stack_settings import SERVICE_STORES, StackSettings
from infra.ops.devstack.supervised_process import Program

DRAIN_TIMEOUT_SECONDS = 15.0
UNLIMITED_FACTOR = "1000"
"""The factor on the edge's limits when limits are off: requests are still counted, but never refused."""
NO_GUEST_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "SOUK_GUEST_ORDERS_PER_ADDRESS": "0",
        "SOUK_GUEST_ORDERS_PER_EMAIL": "0",
        "SOUK_GUEST_ORDER_SHARE": "1",
        "SOUK_GUEST_TOTAL_SHARE": "1",
        "SOUK_ORDER_LOOKUPS_PER_ADDRESS": "0",
        "SOUK_ORDER_LOOKUPS_PER_EMAIL": "0",
        "SOUK_COUPON_GUESSES": "0",
    }
)
"""The settings of the order service when limits are off."""
NO_LIMITS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"order": NO_GUEST_LIMITS, "payment": MappingProxyType({"SOUK_GIFT_CARD_GUESSES": "0"})}
)
"""The settings of services when limits are off."""
UNHEALTHY_SECONDS = 120.0
"""Long, because a restart does not help a process that is overloaded or whose servers are unavailable."""

MOTOR_THREADS = "32"
"""More than Motor's default on a small machine. Its calls block threads."""

EXTRA_SECRETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"user": (KEYS_SECRET,), "order": (ACCESS_SECRET,), "payment": (GIFT_CARD_SECRET,)}
)
"""Further secrets of a service besides its passwords: files in its folder, generated once."""


class ServicePrograms:
    """Builds the programs of services and edges for one run."""

    def __init__(self, settings: StackSettings, data_dir: DataDir, secrets: SecretFiles, ports: PortAllocation) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._secrets = secrets
        self._ports = ports

    def service(self, process: str, service: str, *, nats_url: str, database_url: str) -> Program:
        """Returns one process of a service. `database_url` (PostgreSQL or MongoDB) has no password."""
        store_settings = {
            "postgres": ("SOUK_DATABASE_URL", DATABASE_PASSWORD),
            "mongo": ("SOUK_MONGO_URL", MONGO_PASSWORD),
        }
        variable, secret = store_settings[SERVICE_STORES[service]]
        for name in (secret, *EXTRA_SECRETS.get(service, ())):
            self._secrets.get_or_create(service, name)
        mail = {"SOUK_SMTP_HOST": LOOPBACK, "SOUK_SMTP_PORT": str(self._ports.smtp)}
        extra = {variable: database_url, **(mail if service == "notification" and self._ports.smtp else {})}
        if not self._settings.nginx_limits:
            limits = NO_LIMITS.get(service, {})
            extra |= {name: value for name, value in limits.items() if name not in self._settings.process_env}
        if SERVICE_STORES[service] == "mongo":
            extra["MOTOR_MAX_WORKERS"] = MOTOR_THREADS
        return self._program(process, service, f"services.{service}.app", nats_url, extra)

    def edge(self, process: str, *, nats_url: str) -> Program:
        """Returns one edge process."""
        port = self._ports.edges[process]
        self._secrets.get_or_create(EDGE_PROCESS, PROXY_SECRET)
        limits = {} if self._settings.nginx_limits else {"SOUK_EDGE_LIMITS": UNLIMITED_FACTOR}
        extra = {"SOUK_EDGE_HOST": LOOPBACK, "SOUK_EDGE_PORT": str(port), **limits}
        return self._program(process, EDGE_PROCESS, "edge.app", nats_url, extra, f"{LOOPBACK}:{port}")

    def _program(
        self, process: str, user: str, module: str, nats_url: str, extra: Mapping[str, str], address: str = ""
    ) -> Program:
        ops = self._ports.ops[process]
        self._secrets.get_or_create(user, NATS_PASSWORD)

        async def ready() -> bool:
            return await http_ok(ops, "/readyz")

        own = self._settings.env_of.get(user, {})
        failpoints = {"SOUK_CRASH_FOLDER": str(self._settings.crash_folder)} if self._settings.crash_folder else {}
        common = {
            "SOUK_NATS_URL": nats_url,
            "SOUK_SECRETS_DIR": str(self._secrets.owner_dir(user)),
            "SOUK_OPS_HOST": LOOPBACK,
            "SOUK_OPS_PORT": str(ops),
        }
        return Program(
            name=process,
            argv=(sys.executable, "-m", module),
            is_ready=ready,
            log=self._data_dir.log_file(process),
            address=address or f"ops {LOOPBACK}:{ops}",
            env={**service_environment(user, self._settings.process_env), **common, **failpoints, **extra, **own},
            stop_timeout_seconds=DRAIN_TIMEOUT_SECONDS,
            is_healthy=ready,
            unhealthy_seconds=UNHEALTHY_SECONDS,
        )


def smtp_sink_program(data_dir: DataDir, port: int) -> Program:
    """Returns the program that stores mails instead of sending them."""

    async def ready() -> bool:
        return await sends_greeting(port)

    return Program(
        name="mail",
        argv=(sys.executable, "-m", "infra.ops.devstack.smtp_sink", str(port), str(data_dir.mail_dir)),
        is_ready=ready,
        log=data_dir.log_file("mail"),
        address=f"{LOOPBACK}:{port}",
        origin="aiosmtpd",
        env=python_environment(),
    )
