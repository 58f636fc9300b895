"""Settings and port allocation of the local stack."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.port_allocation import allocate_ports, edge_processes, process_names, service_processes
from infra.ops.devstack.stack_settings import SERVER_PARTS, StackSettings


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_HTTP_PORT", "8090")
    monkeypatch.setenv("SOUK_DATA", "/somewhere")
    options = StackSettings(data=Path("/elsewhere"))
    assert (options.http_port, options.data) == (8090, Path("/elsewhere"))


def test_an_invalid_port_is_refused() -> None:
    with pytest.raises(ValidationError):
        StackSettings(http_port=70000)


def test_an_even_number_of_nodes_is_refused() -> None:
    with pytest.raises(ValidationError, match="choose 1, 3 or 5"):
        StackSettings(nats_nodes=2)


def test_only_a_cluster_has_route_ports() -> None:
    with PortPicker() as ports:
        cluster = allocate_ports(StackSettings(nats_nodes=3, parts=frozenset({"nats"})), ports)
    assert list(cluster.nats_routes.values()) == [6222, 6223, 6224]
    with PortPicker() as ports:
        alone = allocate_ports(StackSettings(parts=frozenset({"nats"})), ports)
    assert (alone.nats, alone.nats_routes) == ({"nats": 4222}, {})


def test_a_server_behind_a_url_is_not_started() -> None:
    options = StackSettings(postgres_url="postgresql://postgres@db/postgres", parts=SERVER_PARTS)
    assert not options.starts("postgres")
    assert options.starts("nats")
    assert not options.starts("edge")


def test_processes_are_named_after_their_service() -> None:
    options = StackSettings(services=("order", "cart"), processes=2, processes_of={"cart": 1}, edge_processes=2)
    assert service_processes(options) == {"order-1": "order", "order-2": "order", "cart": "cart"}
    assert edge_processes(options) == process_names("edge", 2) == ["edge-1", "edge-2"]


def test_every_process_gets_its_own_port(ports: PortPicker) -> None:
    options = StackSettings(
        http_port=0,
        nats_port=0,
        nats_monitor_port=0,
        nats_route_port=0,
        nats_nodes=3,
        postgres_port=0,
        mongo_port=0,
        smtp_port=0,
        edge_port=0,
        ops_port=0,
        processes=2,
    )
    at = allocate_ports(options, ports)
    nats = [*at.nats.values(), *at.nats_monitor.values(), *at.nats_routes.values()]
    found = [at.http, *nats, at.postgres, at.mongo, at.smtp, *at.edges.values(), *at.ops.values()]
    assert len(set(found)) == len(found) == 9 + 4 + 1 + 12 + 1
    assert all(1024 < port < 32768 for port in found)
