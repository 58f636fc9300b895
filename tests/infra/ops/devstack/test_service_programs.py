"""The environments of services and edges."""

from pathlib import Path

import pytest

from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.process_plan import ProcessPlan
from infra.ops.devstack.secret_files import (
    ACCESS_SECRET,
    DATABASE_PASSWORD,
    GIFT_CARD_SECRET,
    MONGO_PASSWORD,
    NATS_PASSWORD,
    PROXY_SECRET,
)
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import ALL_PARTS, SERVICE_STORES, StackSettings
from tests.conftest import FREE_PORTS


def programs(data: Path, **given: object) -> dict[str, dict[str, str]]:
    options = StackSettings.model_validate({"data": data, "parts": {"services", "edge"}, **given})
    open_data_dir(data)
    stack = Stack(options)
    from infra.ops.devstack.port_allocation import allocate_ports  # noqa: PLC0415

    with PortPicker() as ports:
        stack.ports = allocate_ports(options, ports)
    return {program.name: dict(program.env) for program in ProcessPlan(stack, ServerFinder()).programs()}


def test_environments_contain_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUK_ADMIN_PASSWORD", "hush")
    monkeypatch.setenv("SOUK_LOG_LEVEL", "DEBUG")
    found = programs(tmp_path / "souk", ops_port=0, edge_port=0)
    secrets = tmp_path / "souk" / "secrets"
    values = {path.read_text() for path in secrets.rglob("souk_*")} | {"hush"}
    for name, environment in found.items():
        assert environment["SOUK_SECRETS_DIR"] == str(secrets / name)
        assert environment["SOUK_LOG_LEVEL"] == "DEBUG"
        assert not [variable for variable, value in environment.items() if any(secret in value for secret in values)]
    assert {path.name for path in (secrets / "order").iterdir()} == {NATS_PASSWORD, DATABASE_PASSWORD, ACCESS_SECRET}
    assert {path.name for path in (secrets / "payment").iterdir()} == {
        NATS_PASSWORD,
        DATABASE_PASSWORD,
        GIFT_CARD_SECRET,
    }
    assert {path.name for path in (secrets / "cart").iterdir()} == {NATS_PASSWORD, MONGO_PASSWORD}
    assert {path.name for path in (secrets / "edge").iterdir()} == {NATS_PASSWORD, PROXY_SECRET}


def test_a_program_is_given_only_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = {
        "SOUK_ADMIN_EMAIL": "root@shop.example",
        "SOUK_ADMIN_PASSWORD": "hush",
        "souk_admin_password": "hush",
        "SOUK_POSTGRES_URL": "postgresql://root:hush@db/postgres",
        "SOUK_NATS_PASSWORD": "hush",
        "SOUK_KEYS_SECRET": "hush",
        "AWS_SECRET_ACCESS_KEY": "hush",
        "PGPASSWORD": "hush",
        "SOUK_UNKNOWN": "hush",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SOUK_CURRENCY", "EUR")
    monkeypatch.setenv("SOUK_SMTP_PASSWORD", "of the mail server")
    monkeypatch.setenv("SOUK_GUEST_CART_DAYS", "7")
    monkeypatch.setenv("LC_TIME", "C")
    found = programs(tmp_path / "souk", parts=ALL_PARTS, postgres_url="", **dict.fromkeys(FREE_PORTS, 0))
    for name, environment in found.items():
        assert not planted.keys() & environment.keys(), name
        assert "hush" not in "".join(environment.values()), name
        assert environment["LC_TIME"] == "C"
        assert ("SOUK_SMTP_PASSWORD" in environment) == (name == "notification")
        assert environment.get("SOUK_GUEST_CART_DAYS") == ("7" if name == "cart" else None)
        assert environment.get("SOUK_CURRENCY") == ("EUR" if name in {*SERVICE_STORES, "edge"} else None)
    for server in ("nats", "postgres", "mongo", "nginx", "mail"):
        assert not [name for name in found[server] if name.startswith("SOUK_")]


def test_each_service_gets_its_own_store_only(tmp_path: Path) -> None:
    found = programs(
        tmp_path / "souk",
        ops_port=0,
        edge_port=0,
        postgres_url="postgresql://root:pw@db:5432/postgres?sslmode=require",
        mongo_url="mongodb://admin:pw@one:1,two:2/?replicaSet=rs&authSource=admin",
    )
    assert found["order"]["SOUK_DATABASE_URL"] == "postgresql://souk_order@db:5432/souk_order?sslmode=require"
    assert found["cart"]["SOUK_MONGO_URL"] == "mongodb://one:1,two:2/souk_cart?authSource=souk_cart&replicaSet=rs"
    assert "SOUK_DATABASE_URL" not in found["cart"]
    assert "SOUK_MONGO_URL" not in found["order"]


def test_ports_differ_and_variables_reach_their_service(tmp_path: Path) -> None:
    found = programs(tmp_path / "souk", ops_port=0, edge_port=0, env_of={"user": {"SOUK_BCRYPT_COST": "4"}})
    assert len({environment["SOUK_OPS_PORT"] for environment in found.values()}) == 7
    assert found["user"]["SOUK_BCRYPT_COST"] == "4"
    assert "SOUK_BCRYPT_COST" not in found["order"]
