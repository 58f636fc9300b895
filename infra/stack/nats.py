"""The NATS server: JetStream that syncs each write, users from the contracts, monitoring on a port of its own."""

import json
from pathlib import Path

from infra.stack.layout import Layout
from infra.stack.ports import LOOPBACK
from infra.stack.probe import http_ok
from infra.stack.process import Program
from infra.stack.search import Server
from infra.stack.vault import NATS, Vault
from infra.users import NAMES, render_users

CONFIG = """\
# Written by `souk up` at every start.
server_name: souk
listen: "{host}:{port}"
http: "{host}:{monitor}"
jetstream {{
  store_dir: {store}
  # An acknowledged event is on the disk: the default of two minutes loses acknowledged messages with the power.
  sync_interval: always
}}
include "nats-users.conf"
"""


def write_users(layout: Layout, vault: Vault) -> Path:
    """The users' part of the config; whoever changes it tells the server with SIGHUP."""
    path = layout.run / "nats-users.conf"
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(render_users({name: vault.secret(name, NATS) for name in NAMES}, vault.readers()))
    draft.replace(path)
    return path


def program(server: Server, layout: Layout, vault: Vault, *, port: int, monitor: int) -> Program:
    write_users(layout, vault)
    config = layout.run / "nats.conf"
    store = json.dumps(str(layout.data / "nats"))
    config.write_text(CONFIG.format(host=LOOPBACK, port=port, monitor=monitor, store=store))

    async def ready() -> bool:
        return await http_ok(monitor, "/healthz")

    return Program(
        name="nats",
        argv=(str(server.binary), "-c", str(config)),
        ready=ready,
        log=layout.log("nats"),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
    )
