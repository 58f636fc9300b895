"""Which port is whose in one run, settled before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.ops.devstack.free_ports import Ports
from infra.ops.devstack.stack_settings import Options, Part

EDGE = "edge"
NATS: Final = "nats"


@dataclass(frozen=True)
class Addresses:
    """0, or nothing, for what this stack does not start."""

    nats: Mapping[str, int]
    nats_monitor: Mapping[str, int]
    nats_routes: Mapping[str, int]
    """By process name, as the edges; routes only between the nodes of a cluster."""

    postgres: int
    mongo: int
    smtp: int
    http: int
    edges: Mapping[str, int]
    ops: Mapping[str, int]


def instances(name: str, count: int) -> list[str]:
    """The names of a service's processes: its own, or `order-1`, `order-2` when there are more."""
    return [name] if count == 1 else [f"{name}-{n + 1}" for n in range(count)]


def named(process: str, name: str) -> bool:
    """Whether a process is the one called so, or one of several of that service."""
    return name in {process, process.rpartition("-")[0]}


def service_processes(options: Options) -> Mapping[str, str]:
    """Process name to service name."""
    if "services" not in options.parts:
        return {}
    return {
        process: service
        for service in options.services
        for process in instances(service, options.processes_of.get(service, options.processes))
    }


def nats_processes(options: Options) -> list[str]:
    return instances(NATS, options.nats_nodes) if options.starts(NATS) else []


def edge_processes(options: Options) -> list[str]:
    return instances(EDGE, options.edge_processes) if EDGE in options.parts else []


def choose(options: Options) -> Addresses:
    """Every port, free when asked for; raises a `StackError` that names the first one taken."""
    ports = Ports()

    def one(part: Part, port: int, what: str, name: str) -> int:
        return ports.take(port, what, _how(name)) if options.starts(part) else 0

    def each(names: Sequence[str], first: int, what: str, name: str) -> Mapping[str, int]:
        return dict(zip(names, ports.take_from(first, len(names), what, _how(name)), strict=True))

    nodes, edges = nats_processes(options), edge_processes(options)
    routed = nodes if len(nodes) > 1 else []
    return Addresses(
        http=one("nginx", options.http_port, "the shop (Nginx)", "http-port"),
        nats=each(nodes, options.nats_port, "NATS", "nats-port"),
        nats_monitor=each(nodes, options.nats_monitor_port, "NATS monitoring", "nats-monitor-port"),
        nats_routes=each(routed, options.nats_route_port, "the NATS cluster", "nats-route-port"),
        postgres=one("postgres", options.postgres_port, "PostgreSQL", "postgres-port"),
        mongo=one("mongo", options.mongo_port, "MongoDB", "mongo-port"),
        smtp=one("mail", options.smtp_port, "the mail sink", "smtp-port"),
        edges=each(edges, options.edge_port, "an edge", "edge-port"),
        ops=each([*service_processes(options), *edges], options.ops_port, "health and metrics", "ops-port"),
    )


def _how(name: str) -> str:
    return f"--{name} (SOUK_{name.upper().replace('-', '_')})"
