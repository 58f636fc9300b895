"""The processes that are Souk itself, each with the environment it reads its settings from and nothing secret in it."""

import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import EDGE, Addresses
from infra.ops.devstack.readiness_probes import greets, http_ok
from infra.ops.devstack.secret_files import DATABASE, KEYS, MONGO, NATS, Vault
from infra.ops.devstack.stack_settings import STORES, Options
from infra.ops.devstack.supervised_process import Program

DRAIN = 15.0
GENEROUS = "1000"
"""Times more than the edge lets anybody ask for, where limits are off: they are counted, and nobody meets them."""
UNWELL_FOR = 120.0
"""Seconds: an overloaded process, or one whose servers are away, is not made better by a restart."""

MOTOR_THREADS = "32"
"""More than motor takes by itself on a small machine; its calls wait in threads."""

MORE_SECRETS: Mapping[str, tuple[str, ...]] = MappingProxyType({"user": (KEYS,)})
"""What a service keeps secret besides its passwords; files in its folder, made once."""

SECRET_ENDINGS = ("_PASSWORD", "_SECRET", "_DATABASE_URL", "_POSTGRES_URL", "_MONGO_URL", "_SECRETS_DIR")


def inherited() -> dict[str, str]:
    """Our own environment, without what this stack decides or must not hand on."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("SOUK_") and name.endswith(SECRET_ENDINGS))
    }


class Services:
    """Programs of one run, whose servers are at the given URLs."""

    def __init__(self, options: Options, layout: Layout, vault: Vault, addresses: Addresses) -> None:
        self._options = options
        self._layout = layout
        self._vault = vault
        self._addresses = addresses

    def service(self, process: str, service: str, *, nats_url: str, database_url: str) -> Program:
        """One process of a service; `database_url` without a password, of PostgreSQL or MongoDB."""
        stored = {"postgres": ("SOUK_DATABASE_URL", DATABASE), "mongo": ("SOUK_MONGO_URL", MONGO)}
        variable, secret = stored[STORES[service]]
        for name in (secret, *MORE_SECRETS.get(service, ())):
            self._vault.secret(service, name)
        mail = {"SOUK_SMTP_HOST": LOOPBACK, "SOUK_SMTP_PORT": str(self._addresses.smtp)}
        own = {variable: database_url, **(mail if service == "notification" and self._addresses.smtp else {})}
        if STORES[service] == "mongo":
            own["MOTOR_MAX_WORKERS"] = MOTOR_THREADS
        return self._program(process, service, f"services.{service}.app", nats_url, own)

    def edge(self, process: str, *, nats_url: str) -> Program:
        port = self._addresses.edges[process]
        limits = {} if self._options.nginx_limits else {"SOUK_EDGE_LIMITS": GENEROUS}
        own = {"SOUK_EDGE_HOST": LOOPBACK, "SOUK_EDGE_PORT": str(port), **limits}
        return self._program(process, EDGE, "edge.app", nats_url, own, f"{LOOPBACK}:{port}")

    def _program(
        self, process: str, user: str, module: str, nats_url: str, own: Mapping[str, str], address: str = ""
    ) -> Program:
        ops = self._addresses.ops[process]
        self._vault.secret(user, NATS)

        async def ready() -> bool:
            return await http_ok(ops, "/readyz")

        crash = {"SOUK_CRASH_FOLDER": str(self._options.crash_folder)} if self._options.crash_folder else {}
        common = {
            "SOUK_NATS_URL": nats_url,
            "SOUK_SECRETS_DIR": str(self._vault.of(user)),
            "SOUK_OPS_HOST": LOOPBACK,
            "SOUK_OPS_PORT": str(ops),
        }
        return Program(
            name=process,
            argv=(sys.executable, "-m", module),
            ready=ready,
            log=self._layout.log(process),
            address=address or f"ops {LOOPBACK}:{ops}",
            env={**inherited(), **common, **crash, **own, **self._options.environment_of(user)},
            stop_within=DRAIN,
            well=ready,
            unwell_for=UNWELL_FOR,
        )


def mailbox(layout: Layout, port: int) -> Program:
    async def ready() -> bool:
        return await greets(port)

    return Program(
        name="mail",
        argv=(sys.executable, "-m", "infra.ops.devstack.smtp_sink", str(port), str(layout.mail)),
        ready=ready,
        log=layout.log("mail"),
        address=f"{LOOPBACK}:{port}",
        origin="aiosmtpd",
        env=inherited(),
    )
