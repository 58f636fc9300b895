"""`souk init-servers` and `souk bootstrap`, as Docker Compose runs them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pymongo import AsyncMongoClient

from contracts import user
from infra.messaging import connection, topology
from infra.ops.cli import compose_setup as deploy
from infra.ops.cli.admin_client import DEFAULT_EMAIL, PASSWORD_FILE
from infra.ops.devstack import mongo
from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.openssl_libraries import openssl_environment
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.secret_files import MONGO_PASSWORD, OPERATOR, POSTGRES_PASSWORD, SecretFiles
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVICE_STORES, StackSettings
from tests.conftest import FREE_PORTS
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

SERVICES = tuple(name for name, store in SERVICE_STORES.items() if store == "postgres")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """Runs a command in a clean environment. Returns its exit code and output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SOUK_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "infra.ops.cli.app", *command),
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, " ".join(output.decode().split())


# souk init-servers


@pytest.fixture(scope="module")
async def servers(data_folder: Path) -> AsyncIterator[tuple[Stack, Path]]:
    """Empty servers, and the secrets that `souk compose-secrets` created for them."""
    deploy.compose_secrets(data=data_folder / "made")
    secrets_dir = data_folder / "made" / "compose" / "secrets"
    ports: dict[str, Any] = dict(FREE_PORTS)
    options = StackSettings(
        _env_file=None,
        data=data_folder / "bare",
        parts=frozenset({"nats", "postgres", "mongo"}),
        services=(),
        prepare=False,
        **ports,
    )
    own = shutil.copytree(secrets_dir, open_data_dir(options.data).secrets_dir, dirs_exist_ok=True)
    (own / OPERATOR / "mongo_keyfile").chmod(0o400)  # as the container of MongoDB makes it
    async with Stack(options).running() as stack:
        async with AsyncMongoClient[dict[str, Any]](stack.mongo_url, serverMonitoringMode="poll") as client:
            await client[mongo.CART_DATABASE].command({"dropUser": mongo.CART_USER})
        yield stack, secrets_dir


def without_password(url: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{place}"))


def server_urls(stack: Stack, secrets_dir: Path) -> Mapping[str, str]:
    return {
        "SOUK_VAULT": str(secrets_dir),
        "SOUK_NATS_URL": stack.nats_url,
        "SOUK_POSTGRES_URL": without_password(stack.postgres_url),
        "SOUK_MONGO_URL": without_password(stack.mongo_url),
    }


async def tables(stack: Stack, service: str) -> list[str]:
    """Returns the tables in a service's database with their owners, as that service sees them."""
    connection = await asyncpg.connect(stack.dsn(service))
    try:
        names = "SELECT schemaname || '.' || tablename || '/' || tableowner FROM pg_tables ORDER BY 1"
        return [row[0] for row in await connection.fetch(names)]
    finally:
        await connection.close()


async def test_init_servers_prepares_empty_servers_and_is_repeatable(servers: tuple[Stack, Path]) -> None:
    stack, secrets_dir = servers
    secrets_before = contents(secrets_dir)
    code, output = await run("init-servers", **server_urls(stack, secrets_dir))
    assert code == 0, output
    assert "ready for the services" in output
    found = {service: await tables(stack, service) for service in SERVICES}
    assert all(found.values())

    code, output = await run("init-servers", **server_urls(stack, secrets_dir))
    assert code == 0, output
    assert {service: await tables(stack, service) for service in SERVICES} == found
    assert contents(secrets_dir) == secrets_before

    for service in SERVICE_STORES:
        async with connection.connect(stack.nats_url, service, stack.nats_password(service)) as client:
            await topology.require_provisioned(client, service)
    async with AsyncMongoClient[dict[str, Any]](
        stack.cart_url(), username=mongo.CART_USER, password=stack.cart_mongo_password(), serverMonitoringMode="poll"
    ) as cart:
        await cart[mongo.CART_DATABASE]["probe"].insert_one({"x": 1})
        await cart[mongo.CART_DATABASE]["probe"].drop()


async def test_init_servers_needs_existing_secrets(servers: tuple[Stack, Path], tmp_path: Path) -> None:
    stack, secrets_dir = servers
    code, output = await run("init-servers", **{**server_urls(stack, secrets_dir), "SOUK_VAULT": str(tmp_path)})
    assert code == 1
    assert "souk compose-secrets" in output
    assert not list(tmp_path.iterdir()), "no secret was generated"


async def test_init_servers_names_missing_variables(servers: tuple[Stack, Path]) -> None:
    variables = {name: value for name, value in server_urls(*servers).items() if name != "SOUK_MONGO_URL"}
    code, output = await run("init-servers", **variables)
    assert code == 1
    assert "SOUK_MONGO_URL" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("name", ["SOUK_POSTGRES_URL", "SOUK_MONGO_URL"])
async def test_init_servers_names_the_server_that_refuses(
    servers: tuple[Stack, Path], tmp_path: Path, name: str
) -> None:
    """The secrets contain the password of another shop."""
    stack, secrets_dir = servers
    other = shutil.copytree(secrets_dir, tmp_path / "other")
    secret = {"SOUK_POSTGRES_URL": POSTGRES_PASSWORD, "SOUK_MONGO_URL": MONGO_PASSWORD}[name]
    (other / OPERATOR / secret).chmod(0o600)
    (other / OPERATOR / secret).write_text("a guess")
    code, output = await run("init-servers", **server_urls(stack, other))
    assert code == 1
    assert f"Check {name}." in output
    assert "a guess" not in output


def test_a_password_in_the_url_is_not_replaced() -> None:
    assert deploy._with_password("postgresql://me@host/db?a=1", "p/w") == "postgresql://me:p%2Fw@host/db?a=1"
    assert deploy._with_password("postgresql://me:own@host/db", "other") == "postgresql://me:own@host/db"
    assert deploy._with_password("mongodb://host/", "other") == "mongodb://host/"


@asynccontextmanager
async def mongod(folder: Path, port: int, *options: str) -> AsyncIterator[str]:
    """Runs a server as the image does, and yields its URL."""
    server = ServerFinder().mongo()
    env = await openssl_environment(server, folder / "openssl")
    (folder / "db").mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(str(server.binary), "--dbpath", str(folder / "db"), "--port", str(port), "--bind_ip", LOOPBACK),
        *("--nounixsocket", "--logpath", str(folder / "log"), "--wiredTigerCacheSizeGB", "0.25", *options),
        env={**os.environ, **env},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:

        async def up() -> bool:
            return await accepts_connections(port)

        await eventually(up)
        yield f"mongodb://{LOOPBACK}:{port}/?directConnection=true"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def test_a_new_mongodb_becomes_a_replica_set(tmp_path: Path, ports: PortPicker) -> None:
    """The image creates the first user on a standalone server, then restarts it with the name of a set."""
    port, secrets = ports.reserve(0, "mongo", ""), SecretFiles(tmp_path / "secrets")
    password = secrets.get_or_create(OPERATOR, MONGO_PASSWORD)
    async with (
        mongod(tmp_path, port) as url,
        AsyncMongoClient[dict[str, Any]](url, serverMonitoringMode="poll") as alone,
    ):
        await alone.admin.command({"createUser": mongo.ADMIN_USER, "pwd": password, "roles": ["root"]})
        known = await alone.admin.command("hello")
        assert "setName" not in known
        assert not known.get("isreplicaset"), "the health check tells the two apart by this"
    options = ("--replSet", mongo.REPLICA_SET, "--keyFile", str(secrets.mongo_keyfile()), "--oplogSize", "64")
    async with mongod(tmp_path, port, *options) as url:
        async with AsyncMongoClient[dict[str, Any]](url, serverMonitoringMode="poll") as stranger:
            assert (await stranger.admin.command("hello"))["isreplicaset"], "known without a password"
        server_url = url.replace("//", f"//{mongo.ADMIN_USER}:{password}@")
        await mongo.ensure_replica_set(server_url)
        await mongo.ensure_replica_set(server_url)
        await mongo.create_cart_user(server_url, secrets)
        async with AsyncMongoClient[dict[str, Any]](server_url, serverMonitoringMode="poll") as admin:
            known = await admin.admin.command("hello")
            assert known["isWritablePrimary"]
            assert known["hosts"] == [f"{LOOPBACK}:{port}"]


# souk bootstrap


async def test_bootstrap_creates_the_administrator(stack: Stack, rpc: RpcCaller) -> None:
    variables = {
        "SOUK_VAULT": str(stack.data_dir.secrets_dir),
        "SOUK_NATS_URL": stack.nats_url,
        "SOUK_EDGE_URL": stack.edge_urls[0],
        "SOUK_SEED": "false",
    }
    for _ in range(2):
        code, output = await run("bootstrap", **variables)
        assert code == 0, output
    password = (stack.data_dir.secrets_dir / PASSWORD_FILE).read_text()
    tokens = await rpc(user.LOGIN, {"email": DEFAULT_EMAIL, "password": password})
    assert tokens.user.role == "admin"
