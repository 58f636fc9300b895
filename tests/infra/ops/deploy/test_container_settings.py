"""Checks, without Docker, that containers can start with what docker-compose.yml gives them."""

import asyncio
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from contracts.registry import SERVICES
from edge.settings import EdgeSettings
from infra.foundation.settings import Settings, load_settings
from infra.ops.cli import compose_setup as deploy
from infra.ops.cli.admin_client import AdminSettings
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.nginx_config import NginxLimits, NginxSettings
from infra.ops.devstack.secret_files import MONGO_PASSWORD, OPERATOR
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack_settings import StackSettings
from tests.support.compose_file import ROOT, command_words, load_compose_file, runs_souk_image, secret_targets
from tests.support.eventually import eventually

COMPOSE = load_compose_file()
CONTAINERS = COMPOSE["services"]
FIXED_IN_CONTAINERS = {
    "SOUK_ENVIRONMENT", "SOUK_CRASH_FOLDER", "SOUK_NATS_URL", "SOUK_OPS_HOST", "SOUK_OPS_PORT", "SOUK_DATABASE_URL",
    "SOUK_MONGO_URL", "SOUK_MONGO_USER", "SOUK_MONGO_DATABASE", "SOUK_EDGE_HOST", "SOUK_EDGE_PORT",
    "SOUK_NGINX_EDGES", "SOUK_NGINX_RUN_DIR", "SOUK_NGINX_HOST", "SOUK_NGINX_TLS_KEY", "SOUK_NGINX_HTTP_PORT",
    "SOUK_NGINX_TLS_PORT",
}  # fmt: skip
"""Given by docker-compose.yml itself. The two ports of Nginx are SOUK_HTTP_PORT and SOUK_HTTPS_PORT there."""
LOCAL_STACK_ONLY = {"SOUK_SERVERS", "SOUK_NATS_URL", "SOUK_POSTGRES_URL", "SOUK_MONGO_URL", "SOUK_NATS_NODES"}
README_SETTINGS = {
    name
    for row in (ROOT / "README.md").read_text().splitlines()
    if row.startswith("| `SOUK_")
    for name in re.findall(r"`(SOUK_[A-Z0-9_]+)`", row.split("|")[1])
}
OURS = [name for name, one in CONTAINERS.items() if runs_souk_image(one)]


def settings_of(name: str) -> type[BaseSettings]:
    """Returns the class that reads the environment of a container."""
    if name in SERVICES:
        found: type[Settings] = importlib.import_module(f"services.{name}.app").SERVICE.settings
        return found
    others: dict[str, type[BaseSettings]] = {
        "edge": EdgeSettings,
        "front": NginxSettings,
        "init-servers": deploy.ExternalServerSettings,
        "bootstrap": deploy.BootstrapSettings,
        "mail": StackSettings,
    }
    return others[name]


def variables(kind: type[BaseSettings]) -> set[str]:
    """Returns the variables of a settings class."""
    return {f"{kind.model_config['env_prefix']}{field}".upper() for field in kind.model_fields}


ANYTHING_SET = load_compose_file(
    **{
        name: f"chosen-{name}"
        for kind in (*map(settings_of, [*SERVICES, "edge", "front", "mail"]), NginxLimits, AdminSettings)
        for name in variables(kind)
    }
)
"""The file with every setting set."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `souk compose-secrets` creates."""
    data = tmp_path_factory.mktemp("compose") / "souk"
    deploy.compose_secrets(data=data)
    return data


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    kind = settings_of(name)
    given = set(ANYTHING_SET["services"][name].get("environment", {}))
    more = {"front": variables(NginxLimits), "bootstrap": variables(AdminSettings)}.get(name, set())
    assert given - {"SOUK_SECRETS_DIR"} <= variables(kind) | more


@pytest.mark.parametrize("name", [*SERVICES, "edge", "front"])
def test_every_setting_reaches_the_container_that_reads_it(name: str) -> None:
    """Except for what the containers themselves determine, and for secrets, which are files."""
    kind = settings_of(name)
    prefix = kind.model_config["env_prefix"]
    secrets = {f"{prefix}{field}".upper() for field, info in kind.model_fields.items() if info.annotation is SecretStr}
    assert {target.upper() for target in secret_targets(CONTAINERS[name])} >= secrets
    wanted = variables(kind) | (variables(NginxLimits) if name == "front" else set())
    environment = ANYTHING_SET["services"][name]["environment"]
    lost = {one for one in wanted if environment.get(one) != f"chosen-{one}"}
    assert lost - secrets <= FIXED_IN_CONTAINERS


@pytest.mark.parametrize("name", sorted(README_SETTINGS))
def test_settings_of_the_readme_reach_containers(name: str) -> None:
    assert name in LOCAL_STACK_ONLY or f"chosen-{name}" in str(ANYTHING_SET) or name == "SOUK_ADMIN_PASSWORD"


@pytest.mark.parametrize("name", [*SERVICES, "edge"])
def test_an_unset_setting_keeps_the_default_of_the_code(name: str) -> None:
    """A default that Compose repeats would go stale, and an empty one is often no valid value."""
    given = CONTAINERS[name]["environment"]
    own = {"SOUK_SMTP_HOST", "SOUK_SMTP_PORT", "SOUK_SHOP_URL", "SOUK_OTLP_ENDPOINT", "SOUK_SECRETS_DIR"}
    assert set(given) <= FIXED_IN_CONTAINERS | own


def test_a_shop_for_real_needs_only_settings() -> None:
    chosen = {"SOUK_SMTP_HOST": "smtp.example", "SOUK_SMTP_PORT": "587", "SOUK_SHOP_URL": "https://shop.example"}
    given = load_compose_file(**chosen)["services"]["notification"]["environment"]
    assert chosen.items() <= given.items()
    assert CONTAINERS["notification"]["environment"]["SOUK_SHOP_URL"] == "https://localhost:8443"
    other_port = load_compose_file(SOUK_HTTPS_PORT="9443")["services"]
    assert other_port["notification"]["environment"]["SOUK_SHOP_URL"] == "https://localhost:9443"


@pytest.mark.parametrize("name", [*SERVICES, "edge", "front", "init-servers", "bootstrap"])
def test_environment_and_secrets_suffice_to_start(
    name: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a container need nothing but its environment and its mounted secrets."""
    one = CONTAINERS[name]
    for variable in list(os.environ):
        if variable.startswith("SOUK_"):
            monkeypatch.delenv(variable)
    for variable, value in one["environment"].items():
        monkeypatch.setenv(variable, value)
    for target, source in secret_targets(one).items():
        shutil.copy(made / COMPOSE["secrets"][source]["file"].removeprefix("./.souk/"), tmp_path / target)
    monkeypatch.setenv("SOUK_SECRETS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    kind = settings_of(name)
    settings = load_settings(kind) if issubclass(kind, Settings) else kind()
    if isinstance(settings, Settings):
        assert settings.nats_password.get_secret_value() == (tmp_path / "souk_nats_password").read_text()
        assert settings.environment == "production"


def test_every_secret_is_generated(made: Path) -> None:
    for name, one in COMPOSE["secrets"].items():
        path = made / one["file"].removeprefix("./.souk/")
        assert path.is_file(), name
        assert path.stat().st_size > 0 or name == "notification_smtp_password"
    assert (made / "compose" / "secrets" / OPERATOR / MONGO_PASSWORD).is_file()
    secrets_mount = next(one for one in CONTAINERS["init-servers"]["volumes"] if isinstance(one, dict))
    assert secrets_mount["read_only"]
    assert (made / secrets_mount["source"].removeprefix("./.souk/")).is_dir()
    assert CONTAINERS["init-servers"]["environment"]["SOUK_VAULT"] == secrets_mount["target"]


def test_another_data_folder_is_used_consistently() -> None:
    elsewhere = load_compose_file(SOUK_DATA="/srv/souk")
    assert all(one["file"].startswith("/srv/souk/compose/") for one in elsewhere["secrets"].values())
    assert elsewhere["services"]["init-servers"]["volumes"][0]["source"] == "/srv/souk/compose/secrets"


@pytest.mark.parametrize("tls", [True, False])
def test_nginx_accepts_the_rendered_configuration(made: Path, tmp_path: Path, tls: bool) -> None:  # noqa: FBT001
    front = load_compose_file(**({} if tls else {"SOUK_NGINX_TLS_CERTIFICATE": ""}))["services"]["front"]
    run = tmp_path / "run"
    run.mkdir()
    secret = made / "compose" / "secrets" / "edge" / "souk_edge_proxy_secret"
    shutil.copy(secret, tmp_path / "souk_nginx_proxy_secret")
    replacements = {
        "/var/lib/nginx": str(run),
        "/run/secrets/tls_certificate": str(made / "compose" / "tls" / "certificate.pem"),
        "/run/secrets/tls_key": str(made / "compose" / "tls" / "key.pem"),
        "/run/secrets": str(tmp_path),
        "edge:8081": "127.0.0.1:8081",  # no name of a container is known here
    }
    environment = {name: replacements.get(value, value) for name, value in front["environment"].items()}
    (tmp_path / "nats").mkdir()
    places = {"/tmp/": f"{tmp_path}/", "/var/lib/souk/front/": f"{run}/", "/var/lib/souk/nats": f"{tmp_path}/nats"}  # noqa: S108
    script = front["command"][2]
    for place, here in places.items():
        script = script.replace(place, here)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, env={**environment, "PATH": path}, check=True)
    config = (run / "nginx.conf").read_text()
    assert ("listen 0.0.0.0:8443 ssl" in config) is tls
    assert "listen 0.0.0.0:8080" in config
    assert f'X-Proxy-Secret "{secret.read_text()}"' in config
    assert "location = /healthz" in config or not tls, "the health check is not sent to HTTPS"
    nginx = str(ServerFinder().nginx().binary)
    tried = subprocess.run(
        [nginx, "-t", "-e", "stderr", "-c", str(run / "nginx.conf")], capture_output=True, check=False
    )
    assert tried.returncode == 0, tried.stderr.decode()


@pytest.fixture
async def ops_port() -> AsyncIterator[tuple[int, dict[str, int]]]:
    """An ops port whose status a test can set."""
    ops_answer = {"status": 200}

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(status=ops_answer["status"])

    server = web.Application()
    server.add_routes([web.get("/readyz", readyz)])
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    yield runner.addresses[0][1], ops_answer
    await runner.cleanup()


async def check(name: str, port: int, host: str = LOOPBACK) -> int:
    """Returns the exit code of a container's health check, run against another address."""
    test = CONTAINERS[name]["healthcheck"]["test"][1:]
    environment = CONTAINERS[name]["environment"]
    theirs = environment.get("SOUK_OPS_PORT") or command_words(CONTAINERS[name])[3]
    assert theirs in test[-1]
    command = [sys.executable, *(word.replace(theirs, str(port)).replace(LOOPBACK, host) for word in test[1:])]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    return await process.wait()


@pytest.mark.parametrize("name", [*SERVICES, "edge"])
async def test_health_checks_use_the_ops_port(name: str, ops_port: tuple[int, dict[str, int]]) -> None:
    assert "/readyz'" in CONTAINERS[name]["healthcheck"]["test"][-1]
    if name != "edge":
        assert CONTAINERS[name]["healthcheck"] == CONTAINERS["edge"]["healthcheck"]
        return
    port, ops_answer = ops_port
    assert await check(name, port) == 0
    ops_answer["status"] = 503
    assert await check(name, port) != 0


async def test_the_smtp_sink_listens_on_its_host(tmp_path: Path, ports: PortPicker) -> None:
    command, host = command_words(CONTAINERS["mail"]), "127.0.0.2"
    assert command[3:] == ["10025", "/var/lib/souk/mail", "0.0.0.0"]  # noqa: S104 - in its container
    assert command[4] == f"{CONTAINERS['mail']['environment']['SOUK_DATA']}/mail", "where `souk mail` looks"
    port = ports.reserve(0, "mail", "")
    assert await check("mail", port, host) != 0
    process = await asyncio.create_subprocess_exec(sys.executable, *command[1:3], str(port), str(tmp_path), host)
    try:

        async def healthy() -> bool:
            return await check("mail", port, host) == 0

        await eventually(healthy)
        assert await check("mail", port) != 0, "nowhere else"
    finally:
        process.terminate()
        await process.wait()
