"""Which port is whose in one run, settled before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass

from infra.stack.options import Options, Part
from infra.stack.ports import Ports

EDGE = "edge"


@dataclass(frozen=True)
class Addresses:
    """0 for what this stack does not start."""

    nats: int
    nats_monitor: int
    postgres: int
    mongo: int
    smtp: int
    http: int
    edges: Mapping[str, int]
    ops: Mapping[str, int]


def instances(name: str, count: int) -> list[str]:
    """The names of a service's processes: its own, or `order-1`, `order-2` when there are more."""
    return [name] if count == 1 else [f"{name}-{n + 1}" for n in range(count)]


def service_processes(options: Options) -> Mapping[str, str]:
    """Process name to service name."""
    if "services" not in options.parts:
        return {}
    return {
        process: service
        for service in options.services
        for process in instances(service, options.processes_of.get(service, options.processes))
    }


def edge_processes(options: Options) -> list[str]:
    return instances(EDGE, options.edge_processes) if EDGE in options.parts else []


def choose(options: Options) -> Addresses:
    """Every port, free when asked for; raises a `StackError` that names the first one taken."""
    ports = Ports()

    def one(part: Part, port: int, what: str, name: str) -> int:
        return ports.take(port, what, _how(name)) if options.starts(part) else 0

    edges, others = edge_processes(options), list(service_processes(options))
    return Addresses(
        http=one("nginx", options.http_port, "the shop (Nginx)", "http-port"),
        nats=one("nats", options.nats_port, "NATS", "nats-port"),
        nats_monitor=one("nats", options.nats_monitor_port, "NATS monitoring", "nats-monitor-port"),
        postgres=one("postgres", options.postgres_port, "PostgreSQL", "postgres-port"),
        mongo=one("mongo", options.mongo_port, "MongoDB", "mongo-port"),
        smtp=one("mail", options.smtp_port, "the mail sink", "smtp-port"),
        edges=dict(
            zip(edges, ports.take_from(options.edge_port, len(edges), "an edge", _how("edge-port")), strict=True)
        ),
        ops=dict(
            zip(
                [*others, *edges],
                ports.take_from(options.ops_port, len(others) + len(edges), "health and metrics", _how("ops-port")),
                strict=True,
            )
        ),
    )


def _how(name: str) -> str:
    return f"--{name} (SOUK_{name.upper().replace('-', '_')})"
