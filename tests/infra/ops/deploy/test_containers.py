"""Checks, without Docker, that containers can start with what docker-compose.yml gives them."""

import asyncio
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from pydantic_settings import BaseSettings

from contracts.registry import SERVICES
from edge.settings import EdgeSettings
from infra.foundation.settings import Settings, load_settings
from infra.ops.cli import compose as deploy
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.nginx_config import NginxSettings
from infra.ops.devstack.secret_files import MONGO_PASSWORD, OPERATOR
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack_settings import StackSettings
from tests.support.compose_file import ROOT, command_words, load_compose_file, runs_souk_image, secret_targets
from tests.support.eventually import eventually

COMPOSE = load_compose_file()
CONTAINERS = COMPOSE["services"]
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `souk compose-secrets` creates."""
    data = tmp_path_factory.mktemp("compose") / "souk"
    deploy.compose_secrets(data=data)
    return data


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    kind = settings_of(name)
    prefix = kind.model_config["env_prefix"]
    fields = {f"{prefix}{field}".upper() for field in kind.model_fields}
    given = set(CONTAINERS[name].get("environment", {}))
    assert given - {"SOUK_SECRETS_DIR"} <= fields


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
        assert path.stat().st_size > 0
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
    replacements = {
        "/var/lib/nginx": str(run),
        "/run/secrets/tls_certificate": str(made / "compose" / "tls" / "certificate.pem"),
        "/run/secrets/tls_key": str(made / "compose" / "tls" / "key.pem"),
        "edge:8081": "127.0.0.1:8081",  # no name of a container is known here
    }
    environment = {name: replacements.get(value, value) for name, value in front["environment"].items()}
    script = front["command"][2].replace("/tmp/", f"{tmp_path}/").replace("/var/lib/souk/front/", f"{run}/")  # noqa: S108
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, env={**environment, "PATH": path}, check=True)
    config = (run / "nginx.conf").read_text()
    assert ("listen 0.0.0.0:8443 ssl" in config) is tls
    assert "listen 0.0.0.0:8080" in config
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


async def test_the_smtp_sink_listens_on_its_host(tmp_path: Path) -> None:
    command, host = command_words(CONTAINERS["mail"]), "127.0.0.2"
    assert command[3:] == ["10025", "/var/lib/souk/mail", "0.0.0.0"]  # noqa: S104 - in its container
    assert command[4] == f"{CONTAINERS['mail']['environment']['SOUK_DATA']}/mail", "where `souk mail` looks"
    port = PortPicker().reserve(0, "mail", "")
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
