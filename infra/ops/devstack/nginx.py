"""Nginx in front of the edges, run in a folder of its own without root."""

import signal
from collections.abc import Sequence

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.nginx_config import render
from infra.ops.devstack.readiness_probes import listens
from infra.ops.devstack.server_binaries import Server
from infra.ops.devstack.stack_settings import Options
from infra.ops.devstack.supervised_process import Program


def program(server: Server, layout: Layout, options: Options, *, port: int, edge_ports: Sequence[int]) -> Program:
    folder = layout.data / "nginx"
    folder.mkdir(mode=0o711, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(
        render(
            http_port=port,
            edges=[f"{LOOPBACK}:{edge}" for edge in edge_ports],
            run_dir=folder,
            limits=options.nginx_limits,
            cache=options.nginx_cache,
        )
    )

    async def ready() -> bool:
        return await listens(port)

    return Program(
        name="nginx",
        argv=(str(server.binary), "-p", str(folder), "-c", str(config), "-e", "stderr"),
        ready=ready,
        log=layout.log("nginx"),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
        stop_signal=signal.SIGQUIT,  # lets the answers under way go out
        stop_within=5.0,
    )
