"""Nginx in front of the edges. It runs in its own folder and does not need root."""

import signal

from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.nginx_config import render_nginx_config, split_list
from infra.ops.devstack.port_allocation import EDGE_PROCESS, PortAllocation
from infra.ops.devstack.private_files import create_private_dir, create_private_file, write_private
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.secret_files import PROXY_SECRET, SecretFiles
from infra.ops.devstack.server_binaries import ServerBinary
from infra.ops.devstack.stack_settings import StackSettings
from infra.ops.devstack.supervised_process import Program


def nginx_program(
    server: ServerBinary, data_dir: DataDir, settings: StackSettings, secrets: SecretFiles, ports: PortAllocation
) -> Program:
    """Writes the configuration and returns the program."""
    port = ports.http
    folder = create_private_dir(data_dir.path / "nginx")
    create_private_file(folder / "refused.log")
    config = write_private(
        folder / "nginx.conf",
        render_nginx_config(
            http_port=port,
            edges=[f"{LOOPBACK}:{edge}" for edge in ports.edges.values()],
            run_dir=folder,
            limits=settings.nginx_limits,
            cache=settings.nginx_cache,
            trusted_proxies=split_list(settings.nginx_trusted_proxies),
            proxy_secret=secrets.get_or_create(EDGE_PROCESS, PROXY_SECRET),
        ),
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
