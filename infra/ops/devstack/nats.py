"""NATS: JetStream that syncs each write, users from the contracts, monitoring on a port of its own.

One server, or the nodes of a cluster, each with a store of its own. A cluster does not take over what a server alone
has written, and the other way round: the stores lie in different folders, and a start with another number is refused.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.messaging.permissions import NATS_USERS, render_users
from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.port_allocation import NATS as NAME
from infra.ops.devstack.port_allocation import Addresses
from infra.ops.devstack.readiness_probes import http_ok, http_text
from infra.ops.devstack.secret_files import NATS, NATS_ROUTES, OPERATOR, Vault
from infra.ops.devstack.server_binaries import Server
from infra.ops.devstack.supervised_process import Program

ROUTER = "souk"
UNWELL_FOR = 10.0
"""Seconds with a JetStream that has given up until a node is started anew; twice as long without any answer."""
READY_WITHIN = 120.0
"""A node is ready once it has caught up, which takes the longer the more was said while it was away."""

BROKEN = ("write error", "JetStream not enabled", "JetStream has been disabled", "JetStream is not enabled")
ROOM = 16 * 1024 * 1024

CONFIG = """\
# Written by `souk up` at every start.
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
jetstream {{
  store_dir: {store}
  # An acknowledged event is on the disk: the default of two minutes loses acknowledged messages with the power.
  sync_interval: always
  # By itself it takes three quarters of what is free as it starts, which is nothing after a crash on a full disk.
  max_file_store: {room}
}}
include "nats-users.conf"
"""
CLUSTER = """\
cluster {{
  name: souk
  listen: "{host}:{port}"
  # A frozen node is given up after four to six seconds, not two minutes: until then it is sent what others could take.
  ping_interval: "2s"
  ping_max: 2
  authorization {{ user: "{user}", password: "{password}", timeout: 3 }}
  routes: [{routes}]
}}
"""


def write_users(layout: Layout, vault: Vault) -> Path:
    """The users' part of the config; whoever changes it tells every node with SIGHUP."""
    return _write(
        layout.run / "nats-users.conf",
        render_users({name: vault.secret(name, NATS) for name in NATS_USERS}, vault.readers()),
    )


def programs(server: Server, layout: Layout, vault: Vault, at: Addresses) -> list[Program]:
    """One server, or every node of the cluster."""
    nodes = list(at.nats)
    _refuse_other_number(layout, nodes)
    write_users(layout, vault)
    return [_program(name, server, layout, vault, at) for name in nodes]


def _program(name: str, server: Server, layout: Layout, vault: Vault, at: Addresses) -> Program:
    store = layout.data / name
    if not store.exists():
        store.mkdir(mode=0o700)
    room = shutil.disk_usage(store).total * 3 // 4
    port, monitor = at.nats[name], at.nats_monitor[name]
    text = CONFIG.format(name=name, host=LOOPBACK, port=port, monitor=monitor, store=json.dumps(str(store)), room=room)
    config = _write(layout.run / f"{name}.conf", text + _cluster(name, vault, at))

    async def ready() -> bool:
        """JetStream answers; in a cluster, it also knows its leader and has caught up."""
        return await http_ok(monitor, "/healthz")

    async def well() -> bool:
        """A write that failed stops its stream, or the node's JetStream, until a restart, which it takes room to do."""
        health = await http_text(monitor, "/healthz")
        sick = not health or any(words in health for words in BROKEN)
        return not sick or shutil.disk_usage(store).free < ROOM

    return Program(
        name=name,
        argv=(str(server.binary), "-c", str(config)),
        ready=ready,
        well=well,
        unwell_for=UNWELL_FOR,
        ready_within=READY_WITHIN,
        log=layout.log(name),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
    )


def _cluster(name: str, vault: Vault, at: Addresses) -> str:
    if name not in at.nats_routes:
        return ""
    password = vault.secret(OPERATOR, NATS_ROUTES)
    others = [port for other, port in at.nats_routes.items() if other != name]
    routes = ", ".join(f'"nats-route://{ROUTER}:{password}@{LOOPBACK}:{port}"' for port in others)
    return CLUSTER.format(host=LOOPBACK, port=at.nats_routes[name], user=ROUTER, password=password, routes=routes)


def _refuse_other_number(layout: Layout, nodes: Sequence[str]) -> None:
    """An event that another number of nodes has acknowledged must not be forgotten by starting beside it."""
    kept = sorted(path.name for path in layout.data.glob(f"{NAME}*") if (path / "jetstream").is_dir())
    if kept and set(kept) != set(nodes):
        raise StackError(
            f"The events in {layout.data} are kept by {len(kept)} NATS node{'s' * (len(kept) > 1)}, and {len(nodes)} "
            f"cannot take them over. Start with --nats-nodes {len(kept)} (SOUK_NATS_NODES), choose another folder with "
            "--data, or start afresh after `souk down --purge`."
        )


def _write(path: Path, text: str) -> Path:
    """For our eyes only, and whole: a server that reloads must not read half of it."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
    return path
