"""`souk secrets`, `souk prepare` and `souk furnish`, as compose needs them."""

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from cryptography import x509
from pymongo import AsyncMongoClient
from typer.testing import CliRunner

from contracts import user
from infra.messaging import connection as messaging
from infra.messaging import topology as streams
from infra.ops.cli import certificate as certificates
from infra.ops.cli import compose as deploy
from infra.ops.cli.admin_account import EMAIL, PASSWORD
from infra.ops.cli.app import app
from infra.ops.devstack import mongo
from infra.ops.devstack.data_dir import open_data_folder
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK, Ports
from infra.ops.devstack.openssl import with_openssl
from infra.ops.devstack.readiness_probes import listens
from infra.ops.devstack.secret_files import MONGO, OPERATOR, POSTGRES_SUPERUSER, Vault
from infra.ops.devstack.server_binaries import Search
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import STORES, Options
from tests.conftest import FREE_PORTS
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

SERVICES = tuple(name for name, store in STORES.items() if store == "postgres")


def souk(*command: str) -> str:
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """A command of ours in an environment of its own; what it printed."""
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


# souk secrets


def test_secrets_are_made_once(tmp_path: Path) -> None:
    told = souk("secrets", "--data", str(tmp_path / "souk"))
    folder = tmp_path / "souk" / "compose"
    before = contents(folder)
    assert EMAIL in told
    assert before[f"secrets/{PASSWORD}"].decode() not in told
    souk("secrets", "--data", str(tmp_path / "souk"))
    assert contents(folder) == before


def test_secrets_are_closed_to_this_machine_and_open_to_containers(tmp_path: Path) -> None:
    souk("secrets", "--data", str(tmp_path / "souk"))
    folder = tmp_path / "souk" / "compose"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o444}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o755}


def test_a_local_stack_may_use_the_same_data_folder(tmp_path: Path) -> None:
    deploy.secrets(data=tmp_path / "souk")
    assert (tmp_path / "souk" / "souk-data.txt").exists(), "or `souk up` refuses the folder"
    assert "*" in (tmp_path / "souk" / ".gitignore").read_text()


def test_nats_takes_its_configuration(tmp_path: Path) -> None:
    deploy.secrets(data=tmp_path)
    config = tmp_path / "compose" / "nats" / "nats.conf"
    assert "sync_interval: always" in config.read_text()
    tried = subprocess.run([Search().nats().binary, "-t", "-c", config], capture_output=True, check=False)
    assert tried.returncode == 0, tried.stderr.decode()


def test_a_reader_that_is_added_later_is_let_in(tmp_path: Path) -> None:
    deploy.secrets(data=tmp_path)
    (tmp_path / "compose" / "secrets" / "readers" / "warehouse").write_text("a-secret-of-the-warehouse")
    deploy.secrets(data=tmp_path)
    assert "a-secret-of-the-warehouse" in (tmp_path / "compose" / "nats" / "nats-users.conf").read_text()


@contextmanager
def shown(folder: Path) -> Iterator[ssl.SSLContext]:
    """A server's side of TLS with the certificate in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    yield context


@pytest.mark.parametrize("name", ["localhost", LOOPBACK, "shop.example"])
async def test_the_certificate_is_one_for_the_shop(tmp_path: Path, name: str) -> None:
    deploy.secrets(data=tmp_path)
    deploy.secrets(data=tmp_path, host=["shop.example"])
    folder = tmp_path / "compose" / "tls"
    client = ssl.create_default_context(cafile=folder / "certificate.pem")
    with shown(folder) as context:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=client, server_hostname=name)
            writer.close()
            await writer.wait_closed()


def test_a_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    hosts, at = ["localhost"], certificates.now()
    path = tmp_path / "certificate.pem"
    path.write_bytes(certificates.self_signed(hosts, at)[0])
    assert certificates.may_stay(path, hosts, at)
    assert not certificates.may_stay(path, hosts, at + certificates.LIFETIME - certificates.RENEWED_BEFORE)
    assert not certificates.may_stay(path, [*hosts, "shop.example"], at)


def test_your_own_certificate_is_taken_when_its_key_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "ISSUER", x509.Name([]))
    certificate, key = certificates.self_signed(["shop.example"], certificates.now())
    _, other = certificates.self_signed(["shop.example"], certificates.now())
    monkeypatch.undo()
    files = {"cert.pem": certificate, "key.pem": key, "other.pem": other, "no.pem": b"nothing"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    data = tmp_path / "souk"

    deploy.secrets(data=data, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    deploy.secrets(data=data)
    assert (data / "compose" / "tls" / "certificate.pem").read_bytes() == certificate, "it is not replaced by ours"
    for wrong, said in {"other.pem": "not the key", "no.pem": "cannot be used", "gone.pem": "cannot be read"}.items():
        with pytest.raises(StackError, match=said):
            deploy.secrets(data=data, certificate=tmp_path / "cert.pem", key=tmp_path / wrong)
    with pytest.raises(StackError, match="come together"):
        deploy.secrets(data=data, certificate=tmp_path / "cert.pem")


# souk prepare


@pytest.fixture(scope="module")
async def servers(data_folder: Path) -> AsyncIterator[tuple[Stack, Path]]:
    """Servers that nobody has prepared, and the vault that `souk secrets` made for them."""
    deploy.secrets(data=data_folder / "made")
    vault = data_folder / "made" / "compose" / "secrets"
    ports: dict[str, Any] = dict(FREE_PORTS)
    options = Options(
        _env_file=None,
        data=data_folder / "bare",
        parts=frozenset({"nats", "postgres", "mongo"}),
        services=(),
        prepare=False,
        **ports,
    )
    own = shutil.copytree(vault, open_data_folder(options.data).secrets, dirs_exist_ok=True)
    (own / OPERATOR / "mongo_keyfile").chmod(0o400)  # as the container of MongoDB makes it
    async with Stack(options).running() as stack:
        async with AsyncMongoClient[dict[str, Any]](stack.mongo_url, serverMonitoringMode="poll") as client:
            await client[mongo.DATABASE].command({"dropUser": mongo.CART})
        yield stack, vault


def without_password(url: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}@{place}"))


def places(stack: Stack, vault: Path) -> Mapping[str, str]:
    return {
        "SOUK_VAULT": str(vault),
        "SOUK_NATS_URL": stack.nats_url,
        "SOUK_POSTGRES_URL": without_password(stack.postgres_url),
        "SOUK_MONGO_URL": without_password(stack.mongo_url),
    }


async def tables(stack: Stack, service: str) -> list[str]:
    """What is in a service's database, as that service sees it, and the migrations that made it."""
    connection = await asyncpg.connect(stack.dsn(service))
    try:
        names = "SELECT schemaname || '.' || tablename || '/' || tableowner FROM pg_tables ORDER BY 1"
        return [row[0] for row in await connection.fetch(names)]
    finally:
        await connection.close()


async def test_prepare_makes_bare_servers_ready_and_can_run_again(servers: tuple[Stack, Path]) -> None:
    stack, vault = servers
    secrets_before = contents(vault)
    code, told = await run("prepare", **places(stack, vault))
    assert code == 0, told
    assert "ready for the services" in told
    found = {service: await tables(stack, service) for service in SERVICES}
    assert all(found.values())

    code, told = await run("prepare", **places(stack, vault))
    assert code == 0, told
    assert {service: await tables(stack, service) for service in SERVICES} == found
    assert contents(vault) == secrets_before

    for service in STORES:
        async with messaging.connect(stack.nats_url, service, stack.password(service)) as client:
            await streams.require_provisioned(client, service)
    async with AsyncMongoClient[dict[str, Any]](
        stack.cart_url(), username=mongo.CART, password=stack.mongo_password(), serverMonitoringMode="poll"
    ) as cart:
        await cart[mongo.DATABASE]["probe"].insert_one({"x": 1})
        await cart[mongo.DATABASE]["probe"].drop()


async def test_prepare_needs_a_vault_that_was_filled(servers: tuple[Stack, Path], tmp_path: Path) -> None:
    stack, vault = servers
    code, told = await run("prepare", **{**places(stack, vault), "SOUK_VAULT": str(tmp_path)})
    assert code == 1
    assert "souk secrets" in told
    assert not list(tmp_path.iterdir()), "nothing was made up"


async def test_prepare_says_what_is_missing(servers: tuple[Stack, Path]) -> None:
    said = {name: value for name, value in places(*servers).items() if name != "SOUK_MONGO_URL"}
    code, told = await run("prepare", **said)
    assert code == 1
    assert "SOUK_MONGO_URL" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["SOUK_POSTGRES_URL", "SOUK_MONGO_URL"])
async def test_prepare_says_who_refuses_it(servers: tuple[Stack, Path], tmp_path: Path, name: str) -> None:
    """With the passwords of another shop."""
    stack, vault = servers
    other = shutil.copytree(vault, tmp_path / "other")
    secret = {"SOUK_POSTGRES_URL": POSTGRES_SUPERUSER, "SOUK_MONGO_URL": MONGO}[name]
    (other / OPERATOR / secret).chmod(0o600)
    (other / OPERATOR / secret).write_text("a guess")
    code, told = await run("prepare", **places(stack, other))
    assert code == 1
    assert f"Is {name} right?" in told
    assert "a guess" not in told


def test_a_password_in_the_url_is_not_replaced() -> None:
    assert deploy._with_password("postgresql://me@host/db?a=1", "p/w") == "postgresql://me:p%2Fw@host/db?a=1"
    assert deploy._with_password("postgresql://me:own@host/db", "other") == "postgresql://me:own@host/db"
    assert deploy._with_password("mongodb://host/", "other") == "mongodb://host/"


@asynccontextmanager
async def mongod(folder: Path, port: int, *options: str) -> AsyncIterator[str]:
    """A server as the image starts one; its URL."""
    server = Search().mongo()
    env = await with_openssl(server, folder / "openssl")
    (folder / "db").mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(str(server.binary), "--dbpath", str(folder / "db"), "--port", str(port), "--bind_ip", LOOPBACK),
        *("--nounixsocket", "--logpath", str(folder / "log"), "--wiredTigerCacheSizeGB", "0.25", *options),
        env={**os.environ, **env},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:

        async def up() -> bool:
            return await listens(port)

        await eventually(up)
        yield f"mongodb://{LOOPBACK}:{port}/?directConnection=true"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def test_a_new_mongodb_is_made_a_replica_set(tmp_path: Path) -> None:
    """The image makes the first user while the server is alone, then starts it with the name of a set."""
    port, vault = Ports().take(0, "mongo", ""), Vault(tmp_path / "vault")
    password = vault.secret(OPERATOR, MONGO)
    async with (
        mongod(tmp_path, port) as url,
        AsyncMongoClient[dict[str, Any]](url, serverMonitoringMode="poll") as alone,
    ):
        await alone.admin.command({"createUser": mongo.ADMIN, "pwd": password, "roles": ["root"]})
        known = await alone.admin.command("hello")
        assert "setName" not in known
        assert not known.get("isreplicaset"), "the health check tells the two apart by this"
    options = ("--replSet", mongo.REPLICA_SET, "--keyFile", str(vault.mongo_keyfile()), "--oplogSize", "64")
    async with mongod(tmp_path, port, *options) as url:
        async with AsyncMongoClient[dict[str, Any]](url, serverMonitoringMode="poll") as stranger:
            assert (await stranger.admin.command("hello"))["isreplicaset"], "known without a password"
        server_url = url.replace("//", f"//{mongo.ADMIN}:{password}@")
        await mongo.unite(server_url)
        await mongo.unite(server_url)
        await mongo.provision(server_url, vault)
        async with AsyncMongoClient[dict[str, Any]](server_url, serverMonitoringMode="poll") as admin:
            known = await admin.admin.command("hello")
            assert known["isWritablePrimary"]
            assert known["hosts"] == [f"{LOOPBACK}:{port}"]


# souk furnish


async def test_furnish_makes_the_administrator(stack: Stack, ask: RpcCaller) -> None:
    said = {
        "SOUK_VAULT": str(stack.layout.secrets),
        "SOUK_NATS_URL": stack.nats_url,
        "SOUK_EDGE_URL": stack.edge_urls[0],
        "SOUK_SEED": "false",
    }
    for _ in range(2):
        code, told = await run("furnish", **said)
        assert code == 0, told
    password = (stack.layout.secrets / PASSWORD).read_text()
    tokens = await ask(user.LOGIN, {"email": EMAIL, "password": password})
    assert tokens.user.role == "admin"
