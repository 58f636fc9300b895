"""NATS: JetStream that syncs each write, users from the contracts, monitoring on a port of its own.

One server, or the nodes of a cluster, each with a store of its own. A cluster does not take over what a server alone
has written, and the other way round: the stores lie in different folders, and a start with another number is refused.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from infra.stack.addresses import NATS as NAME
from infra.stack.addresses import Addresses
from infra.stack.error import StackError
from infra.stack.layout import Layout
from infra.stack.ports import LOOPBACK
from infra.stack.probe import http_ok
from infra.stack.process import Program
from infra.stack.search import Server
from infra.stack.vault import NATS, NATS_ROUTES, OPERATOR, Vault
from infra.users import NAMES, render_users

ROUTER = "souk"
UNWELL_FOR = 20.0
"""Seconds without JetStream, or without an answer, until a node is started anew."""

CONFIG = """\
# Written by `souk up` at every start.
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
jetstream {{
  store_dir: {store}
  # An acknowledged event is on the disk: the default of two minutes loses acknowledged messages with the power.
  sync_interval: always
}}
include "nats-users.conf"
"""
CLUSTER = """\
cluster {{
  name: souk
  listen: "{host}:{port}"
  authorization {{ user: "{user}", password: "{password}", timeout: 3 }}
  routes: [{routes}]
}}
"""


def write_users(layout: Layout, vault: Vault) -> Path:
    """The users' part of the config; whoever changes it tells every node with SIGHUP."""
    return _write(
        layout.run / "nats-users.conf",
        render_users({name: vault.secret(name, NATS) for name in NAMES}, vault.readers()),
    )


def programs(server: Server, layout: Layout, vault: Vault, at: Addresses) -> list[Program]:
    """One server, or every node of the cluster."""
    nodes = list(at.nats)
    _refuse_other_number(layout, nodes)
    write_users(layout, vault)
    return [_program(name, server, layout, vault, at) for name in nodes]


def _program(name: str, server: Server, layout: Layout, vault: Vault, at: Addresses) -> Program:
    store = json.dumps(str(layout.data / name))
    port, monitor = at.nats[name], at.nats_monitor[name]
    text = CONFIG.format(name=name, host=LOOPBACK, port=port, monitor=monitor, store=store)
    config = _write(layout.run / f"{name}.conf", text + _cluster(name, vault, at))

    async def ready() -> bool:
        """JetStream answers; in a cluster, it also knows its leader and has caught up."""
        return await http_ok(monitor, "/healthz")

    async def well() -> bool:
        """JetStream gives up when a write fails, and stays so until a restart; the rest of the server goes on."""
        return await http_ok(monitor, "/healthz?js-enabled-only=true")

    return Program(
        name=name,
        argv=(str(server.binary), "-c", str(config)),
        ready=ready,
        well=well,
        unwell_for=UNWELL_FOR,
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
