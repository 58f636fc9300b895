from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.ops.devstack.port_allocation import choose, edge_processes, instances, service_processes
from infra.ops.devstack.stack_settings import SERVERS, Options


def test_environment_is_read_and_arguments_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_HTTP_PORT", "8090")
    monkeypatch.setenv("SOUK_DATA", "/somewhere")
    options = Options(data=Path("/elsewhere"))
    assert (options.http_port, options.data) == (8090, Path("/elsewhere"))


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        Options(http_port=70000)


def test_an_even_number_of_nodes_is_refused() -> None:
    with pytest.raises(ValidationError, match="choose 1, 3 or 5"):
        Options(nats_nodes=2)


def test_nodes_count_upwards_and_only_a_cluster_has_routes() -> None:
    assert list(choose(Options(nats_nodes=3, parts=frozenset({"nats"}))).nats_routes.values()) == [6222, 6223, 6224]
    alone = choose(Options(parts=frozenset({"nats"})))
    assert (alone.nats, alone.nats_routes) == ({"nats": 4222}, {})


def test_a_server_behind_a_url_is_not_started() -> None:
    options = Options(postgres_url="postgresql://postgres@db/postgres", parts=SERVERS)
    assert not options.starts("postgres")
    assert options.starts("nats")
    assert not options.starts("edge")


def test_processes_are_named_after_their_service() -> None:
    options = Options(services=("order", "cart"), processes=2, processes_of={"cart": 1}, edge_processes=2)
    assert service_processes(options) == {"order-1": "order", "order-2": "order", "cart": "cart"}
    assert edge_processes(options) == instances("edge", 2) == ["edge-1", "edge-2"]


def test_every_process_gets_a_port_of_its_own() -> None:
    options = Options(
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
    at = choose(options)
    nats = [*at.nats.values(), *at.nats_monitor.values(), *at.nats_routes.values()]
    ports = [at.http, *nats, at.postgres, at.mongo, at.smtp, *at.edges.values(), *at.ops.values()]
    assert len(set(ports)) == len(ports) == 9 + 4 + 1 + 12 + 1
    assert all(1024 < port < 32768 for port in ports)


def test_one_services_environment_adds_to_everybodys() -> None:
    options = Options(process_env={"A": "1", "B": "1"}, env_of={"user": {"B": "2"}})
    assert options.environment_of("user") == {"A": "1", "B": "2"}
    assert options.environment_of("order") == {"A": "1", "B": "1"}
