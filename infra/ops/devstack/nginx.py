"""Nginx in front of the edges. It runs in its own folder and does not need root."""

import signal
from collections.abc import Sequence

from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.nginx_config import render_nginx_config
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.server_binaries import ServerBinary
from infra.ops.devstack.stack_settings import StackSettings
from infra.ops.devstack.supervised_process import Program


def nginx_program(
    server: ServerBinary, data_dir: DataDir, settings: StackSettings, *, port: int, edge_ports: Sequence[int]
) -> Program:
    """Writes the configuration and returns the program."""
    folder = data_dir.path / "nginx"
    folder.mkdir(mode=0o711, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(
        render_nginx_config(
            http_port=port,
            edges=[f"{LOOPBACK}:{edge}" for edge in edge_ports],
            run_dir=folder,
            limits=settings.nginx_limits,
            cache=settings.nginx_cache,
        )
    )

    async def ready() -> bool:
        return await accepts_connections(port)

    return Program(
        name="nginx",
        argv=(str(server.binary), "-p", str(folder), "-c", str(config), "-e", "stderr"),
        is_ready=ready,
        log=data_dir.log_file("nginx"),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
        stop_signal=signal.SIGQUIT,  # finishes the responses in progress
        stop_timeout_seconds=5.0,
    )
