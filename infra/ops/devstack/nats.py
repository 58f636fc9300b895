"""NATS: JetStream that syncs each write, users from the contracts, monitoring on a separate port.

It runs as one server or as a cluster, each node with its own store. A cluster cannot read what a single server has
written, and vice versa: a start with another number of nodes is refused.
"""

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from contracts.size_limits import MAX_MESSAGE_BYTES
from infra.messaging import connection
from infra.messaging.nats_accounts import SHOP_ACCOUNT, render_accounts
from infra.messaging.permissions import NATS_USERS
from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import NATS_PROCESS, PortAllocation
from infra.ops.devstack.private_files import create_private_dir, write_private
from infra.ops.devstack.readiness_probes import http_get, http_ok
from infra.ops.devstack.secret_files import NATS_PASSWORD, NATS_ROUTES_PASSWORD, OPERATOR, SecretFiles
from infra.ops.devstack.server_binaries import ServerBinary
from infra.ops.devstack.server_versions import require_version
from infra.ops.devstack.supervised_process import Program

CLUSTER_USER = "souk"
GLOBAL_ACCOUNT = "$G"
"""The account of users without an account."""
UNHEALTHY_SECONDS = 10.0
"""A node restarts after this long with a failed JetStream, or after twice as long without any answer."""
RELOAD_TIMEOUT_SECONDS = 10.0
RELOAD_POLL_SECONDS = 0.02
READY_TIMEOUT_SECONDS = 120.0
"""A node is ready once it has caught up with the events that it missed."""

FAILED_HEALTH_TEXTS = (
    "write error",
    "JetStream not enabled",
    "JetStream has been disabled",
    "JetStream is not enabled",
)
MIN_FREE_BYTES = 16 * 1024 * 1024

CONFIG = """\
# Written by `souk up` at every start.
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
# Requests and replies are at most 1 MiB; the rest is for headers and for files that travel in parts.
max_payload: {max_payload}
jetstream {{
  store_dir: {store}
  # An acknowledged event is on disk: the default, two minutes, loses acknowledged messages at a power failure.
  sync_interval: always
  # The default is three quarters of the free space at the start, which is nothing after a crash on a full disk.
  max_file_store: {max_store_bytes}
}}
include "nats-users.conf"
"""
CLUSTER_CONFIG = """\
cluster {{
  name: souk
  listen: "{host}:{port}"
  # A frozen node is dropped after 4 to 6 s instead of 2 minutes. Until then it gets requests that others could answer.
  ping_interval: "2s"
  ping_max: 2
  authorization {{ user: "{user}", password: "{password}", timeout: 3 }}
  routes: [{routes}]
}}
"""


def write_users_config(data_dir: DataDir, secrets: SecretFiles) -> Path:
    """Writes the users' part of the configuration. The caller then sends SIGHUP to every node."""
    return write_private(
        data_dir.run_dir / "nats-users.conf",
        render_accounts(
            {name: secrets.get_or_create(name, NATS_PASSWORD) for name in NATS_USERS}, secrets.reader_passwords()
        ),
    )


async def reload_users(pids: Sequence[int], monitor_ports: Sequence[int]) -> None:
    """Makes every node read the users' part of its configuration. NATS closes connections of users that are gone.

    It reloads twice: in an account that the first reload has added, nats-server 2.15 connects the imported services
    only at the next one.
    """
    for _ in range(2):
        loaded = [await _config_load_time(port) for port in monitor_ports]
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT_SECONDS):
                while any(  # noqa: ASYNC110 - NATS has no event for it
                    [await _config_load_time(port) in {"", *loaded} for port in monitor_ports]
                ):
                    await asyncio.sleep(RELOAD_POLL_SECONDS)
        except TimeoutError:
            raise StackError("NATS did not reload its users. See `souk logs nats`.") from None


async def _config_load_time(monitor_port: int) -> str:
    """Returns when a node has read its configuration; an empty text while it does not answer."""
    found = re.search(r'"config_load_time": "([^"]+)"', await http_get(monitor_port, "/varz"))
    return found[1] if found else ""


def nats_programs(
    server: ServerBinary, data_dir: DataDir, secrets: SecretFiles, ports: PortAllocation
) -> list[Program]:
    """Returns the programs of the single server or of every node."""
    nodes = list(ports.nats)
    _check_node_count(data_dir, nodes)
    _move_to_shop_account(data_dir, nodes)
    write_users_config(data_dir, secrets)
    return [_program(name, server, data_dir, secrets, ports) for name in nodes]


def _move_to_shop_account(data_dir: DataDir, nodes: Sequence[str]) -> None:
    """Moves the streams of release 0.1.0, which had one account without a name, into the account of the shop.

    A single server finds streams by their folders. A cluster also remembers their account, so it is refused.
    """
    for node in nodes:
        jetstream = data_dir.path / node / "jetstream"
        if not (jetstream / GLOBAL_ACCOUNT).is_dir() or (jetstream / SHOP_ACCOUNT).exists():
            continue
        if len(nodes) > 1:
            raise StackError(
                f"A cluster of Souk 0.1.0 has stored the events in {data_dir.path}, in an account that this release no "
                "longer uses. Run Souk 0.1.0 on the folder, or start empty after `souk down --purge`."
            )
        (jetstream / GLOBAL_ACCOUNT).rename(jetstream / SHOP_ACCOUNT)


def _program(
    name: str, server: ServerBinary, data_dir: DataDir, secrets: SecretFiles, ports: PortAllocation
) -> Program:
    store = data_dir.path / name
    if not store.exists():
        create_private_dir(store)
    max_store = shutil.disk_usage(store).total * 3 // 4
    port, monitor = ports.nats[name], ports.nats_monitor[name]
    text = CONFIG.format(
        name=name,
        host=LOOPBACK,
        port=port,
        monitor=monitor,
        store=json.dumps(str(store)),
        max_store_bytes=max_store,
        max_payload=MAX_MESSAGE_BYTES,
    )
    config = write_private(data_dir.run_dir / f"{name}.conf", text + _cluster_config(name, secrets, ports))

    async def ready() -> bool:
        """Tells whether JetStream answers; in a cluster, also whether it knows its leader and has caught up."""
        return await http_ok(monitor, "/healthz")

    async def is_healthy() -> bool:
        """Tells whether JetStream works. A failed write stops a stream or node until a restart, which needs space."""
        health = await http_get(monitor, "/healthz")
        has_failed = not health or any(text in health for text in FAILED_HEALTH_TEXTS)
        return not has_failed or shutil.disk_usage(store).free < MIN_FREE_BYTES

    return Program(
        name=name,
        argv=(str(server.binary), "-c", str(config)),
        is_ready=ready,
        is_healthy=is_healthy,
        unhealthy_seconds=UNHEALTHY_SECONDS,
        ready_timeout_seconds=READY_TIMEOUT_SECONDS,
        log=data_dir.log_file(name),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
    )


def _cluster_config(name: str, secrets: SecretFiles, ports: PortAllocation) -> str:
    if name not in ports.nats_routes:
        return ""
    password = secrets.get_or_create(OPERATOR, NATS_ROUTES_PASSWORD)
    others = [port for other, port in ports.nats_routes.items() if other != name]
    routes = ", ".join(f'"nats-route://{CLUSTER_USER}:{password}@{LOOPBACK}:{port}"' for port in others)
    return CLUSTER_CONFIG.format(
        host=LOOPBACK, port=ports.nats_routes[name], user=CLUSTER_USER, password=password, routes=routes
    )


def _check_node_count(data_dir: DataDir, nodes: Sequence[str]) -> None:
    """Refuses a start that would ignore the events that another number of nodes has acknowledged."""
    stored = sorted(path.name for path in data_dir.path.glob(f"{NATS_PROCESS}*") if (path / "jetstream").is_dir())
    if stored and set(stored) != set(nodes):
        raise StackError(
            f"The events in {data_dir.path} are stored by {len(stored)} NATS node{'s' * (len(stored) > 1)}; "
            f"{len(nodes)} cannot read them. Start with --nats-nodes {len(stored)} (SOUK_NATS_NODES), choose another "
            "folder with --data, or start empty after `souk down --purge`."
        )


async def check_server_version(url: str, password: str) -> None:
    """Refuses an external NATS that is too old. One that the stack started itself has passed this check before."""
    async with connection.connect(url, OPERATOR, password, allow_reconnect=False) as client:
        found = client.connected_server_version
    version = (found.major, found.minor, found.patch)
    require_version(
        "nats-server", version, "The server of SOUK_NATS_URL", "unset SOUK_NATS_URL to run the pinned wheel"
    )
