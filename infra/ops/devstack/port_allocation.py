"""Allocates the ports of one run before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.stack_settings import StackPart, StackSettings

EDGE_PROCESS = "edge"
NATS_PROCESS: Final = "nats"


@dataclass(frozen=True)
class PortAllocation:
    """The port of each process; 0 or no entry for what this stack does not start."""

    nats: Mapping[str, int]
    nats_monitor: Mapping[str, int]
    nats_routes: Mapping[str, int]
    """By process name, like `edges` and `ops`. Routes connect the nodes of a cluster."""

    postgres: int
    mongo: int
    smtp: int
    http: int
    edges: Mapping[str, int]
    ops: Mapping[str, int]


def process_names(name: str, count: int) -> list[str]:
    """Returns the names of a service's processes: `order`, or `order-1` and `order-2` when there are several."""
    return [name] if count == 1 else [f"{name}-{n + 1}" for n in range(count)]


def matches_name(process: str, name: str) -> bool:
    """Tells whether `name` is this process (`order-2`) or its service (`order`)."""
    return name in {process, process.rpartition("-")[0]}


def service_processes(settings: StackSettings) -> Mapping[str, str]:
    """Maps process names to service names."""
    if "services" not in settings.parts:
        return {}
    return {
        process: service
        for service in settings.services
        for process in process_names(service, settings.processes_of.get(service, settings.processes))
    }


def nats_processes(settings: StackSettings) -> list[str]:
    """Returns the names of the NATS nodes that this stack starts."""
    return process_names(NATS_PROCESS, settings.nats_nodes) if settings.starts(NATS_PROCESS) else []


def edge_processes(settings: StackSettings) -> list[str]:
    """Returns the names of the edge processes that this stack starts."""
    return process_names(EDGE_PROCESS, settings.edge_processes) if EDGE_PROCESS in settings.parts else []


def allocate_ports(settings: StackSettings, ports: PortPicker) -> PortAllocation:
    """Allocates every port. Raises a `StackError` that names the first one in use."""

    def one(part: StackPart, port: int, what: str, name: str) -> int:
        return ports.reserve(port, what, _option_hint(name)) if settings.starts(part) else 0

    def each(names: Sequence[str], first: int, what: str, name: str) -> Mapping[str, int]:
        return dict(zip(names, ports.reserve_range(first, len(names), what, _option_hint(name)), strict=True))

    nodes, edges = nats_processes(settings), edge_processes(settings)
    routed = nodes if len(nodes) > 1 else []
    return PortAllocation(
        http=one("nginx", settings.http_port, "the shop (Nginx)", "http-port"),
        nats=each(nodes, settings.nats_port, "NATS", "nats-port"),
        nats_monitor=each(nodes, settings.nats_monitor_port, "NATS monitoring", "nats-monitor-port"),
        nats_routes=each(routed, settings.nats_route_port, "the NATS cluster", "nats-route-port"),
        postgres=one("postgres", settings.postgres_port, "PostgreSQL", "postgres-port"),
        mongo=one("mongo", settings.mongo_port, "MongoDB", "mongo-port"),
        smtp=one("mail", settings.smtp_port, "the mail sink", "smtp-port"),
        edges=each(edges, settings.edge_port, "an edge", "edge-port"),
        ops=each([*service_processes(settings), *edges], settings.ops_port, "health and metrics", "ops-port"),
    )


def _option_hint(name: str) -> str:
    return f"--{name} (SOUK_{name.upper().replace('-', '_')})"
