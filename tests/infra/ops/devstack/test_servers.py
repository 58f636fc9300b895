"""The four servers of one stack, on free ports."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from infra.ops.devstack import server_versions
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import READERS_DIR
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import SERVER_PARTS, SERVICE_STORES, StackSettings
from infra.ops.devstack.state_file import read_state
from tests.support.eventually import eventually

FREE: dict[str, Any] = dict.fromkeys(
    [
        "http_port",
        "nats_port",
        "nats_monitor_port",
        "postgres_port",
        "mongo_port",
        "smtp_port",
        "edge_port",
        "ops_port",
    ],
    0,
)
OTHERS = [
    (service, other)
    for service in SERVICE_STORES
    for other in SERVICE_STORES
    if "mongo" not in {SERVICE_STORES[service], SERVICE_STORES[other]}
]


def options(data: Path, **given: Any) -> StackSettings:
    return StackSettings(_env_file=None, data=data, parts=given.pop("parts", SERVER_PARTS), **FREE, **given)


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("servers")
    async with Stack(options(folder / "souk")).running():
        pass  # the second start, with other ports, must find what the first one made
    async with Stack(options(folder / "souk", temporary=True)).running() as stack:
        yield stack
    assert not (folder / "souk").exists()


async def connect(stack: Stack, user: str, password: str) -> Client:
    async def ignore(_error: Exception) -> None:
        """Ignores the error, since `connect` raises it."""

    client = Client()
    try:
        await client.connect(stack.nats_url, user=user, password=password, allow_reconnect=False, error_cb=ignore)
    except (NatsError, OSError):
        await client.close()
        raise
    return client


async def test_nats_accepts_known_users_only(servers: Stack) -> None:
    for user in (*SERVICE_STORES, "edge", "operator"):
        client = await connect(servers, user, servers.nats_password(user))
        await client.close()
    with pytest.raises((NatsError, OSError)):  # the server closes the connection, sometimes before its words are read
        await connect(servers, "operator", "guess")
    with pytest.raises((NatsError, OSError)):  # the server closes the connection, sometimes before its words are read
        await connect(servers, "stranger", "guess")


async def test_nats_syncs_every_write(servers: Stack) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{servers.nats_monitor_url}/varz") as answer:
        config = (await answer.json())["jetstream"]["config"]
    assert config["sync_always"] is True
    assert config["store_dir"].startswith(str(servers.data_dir.path))


async def test_a_new_reader_is_accepted_after_a_reload(servers: Stack) -> None:
    operator = await connect(servers, "operator", servers.nats_password("operator"))
    (servers.secrets.owner_dir(READERS_DIR) / "warehouse").write_text("a-secret-of-the-warehouse")
    servers.reload_nats_users()
    log = servers.data_dir.log_file("nats")
    await eventually(lambda: "Reloaded server configuration" in log.read_text())
    reader = await connect(servers, "warehouse", servers.nats_password("warehouse"))
    assert operator.is_connected
    await reader.close()
    await operator.close()


async def test_each_service_can_open_its_own_database_only(servers: Stack) -> None:
    for service in (name for name, store in SERVICE_STORES.items() if store == "postgres"):
        connection = await asyncpg.connect(servers.dsn(service))
        assert await connection.fetchval("SELECT current_user") == f"souk_{service}"
        assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        await connection.close()
    for service, other in OTHERS:
        if service != other:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await asyncpg.connect(servers.dsn(service), database=f"souk_{other}")


async def test_postgres_requires_a_password_and_is_durable(servers: Stack) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(servers.dsn("order", with_password=False), password="guess")
    connection = await asyncpg.connect(servers.postgres_url)
    for setting, value in {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}.items():
        assert await connection.fetchval("SELECT current_setting($1)", setting) == value
    assert await connection.fetchval("SELECT current_setting('listen_addresses')") == "127.0.0.1"
    await connection.close()


async def test_the_cart_user_can_open_its_own_database_only(servers: Stack) -> None:
    async with AsyncMongoClient[dict[str, Any]](
        servers.cart_url(), username="souk_cart", password=servers.cart_mongo_password()
    ) as client:
        await client["souk_cart"]["trial"].insert_one({"_id": 1})
        assert await client["souk_cart"]["trial"].count_documents({}) == 1
        with pytest.raises(OperationFailure, match="not authorized"):
            await client["other"]["trial"].insert_one({"_id": 1})
        with pytest.raises(OperationFailure, match="Insufficient permissions"):
            await client.admin.command("listDatabases", nameOnly=False, authorizedDatabases=False)
    async with AsyncMongoClient[dict[str, Any]](servers.cart_url()) as client:
        with pytest.raises(OperationFailure, match="requires authentication"):
            await client["souk_cart"]["trial"].count_documents({})


async def test_the_state_lists_processes_without_secrets(servers: Stack) -> None:
    state = read_state(servers.data_dir.state_file)
    assert state
    assert state.is_running()
    assert {one.name: one.state for one in state.processes} == dict.fromkeys(
        ["nats", "postgres", "mongo", "mail"], "ready"
    )
    text = servers.data_dir.state_file.read_text()
    assert not [path for path in servers.data_dir.secrets_dir.rglob("*") if path.is_file() and path.read_text() in text]
    assert {one.pid for one in state.processes} == {pid for name in servers.processes for pid in servers.pids(name)}


async def test_no_command_line_contains_a_secret(servers: Stack) -> None:
    secrets = [path.read_text() for path in servers.data_dir.secrets_dir.rglob("*") if path.is_file()]
    for one in servers.processes.values():
        shown = [*psutil.Process(one.pid).cmdline(), *psutil.Process(one.pid).environ().values()]
        assert not [secret for secret in secrets if any(secret in text for text in shown)]


@pytest.mark.parametrize("name", ["nats", "postgres", "mongo"])
async def test_a_killed_server_is_restarted(servers: Stack, name: str) -> None:
    before = servers.processes[name].restarts
    servers.kill(name)
    async with asyncio.timeout(20):
        await servers.wait_until_ready(name)
    assert servers.processes[name].restarts > before


async def test_a_restarted_postgres_is_ready_when_it_accepts_connections(servers: Stack) -> None:
    """The pid file of the killed server says `ready` until the new server has written its own."""
    servers.kill("postgres")
    async with asyncio.timeout(20):
        await servers.wait_until_ready("postgres")
    connection = await asyncpg.connect(servers.dsn("order"))
    await connection.close()


async def test_a_paused_server_continues(servers: Stack) -> None:
    servers.pause("nats")
    servers.resume("nats")
    client = await connect(servers, "operator", servers.nats_password("operator"))
    await client.close()


async def test_a_stopped_server_stays_down_until_it_is_started(servers: Stack) -> None:
    await servers.stop("mail", signal.SIGKILL)
    assert servers.pids("mail") == []
    await servers.start("mail")
    await servers.restart("mail")
    assert len(servers.pids("mail")) == 1


def test_an_unknown_name_lists_the_known_ones(servers: Stack) -> None:
    with pytest.raises(StackError, match=r"no process nope\. Choose one of nats, postgres, mongo, mail"):
        servers.kill("nope")


async def test_a_server_that_dies_at_start_shows_its_log(tmp_path: Path) -> None:
    stack = Stack(options(tmp_path / "souk", parts=frozenset({"nats"}), prepare=False))
    stack.data_dir.path.mkdir()
    (stack.data_dir.path / "souk-data.txt").write_text("")
    (stack.data_dir.path / "nats").write_text("a file where the store should be")
    with pytest.raises(StackError, match="nats did not start: it ended with code 1") as caught:
        async with stack.running():
            pytest.fail("it should not start")
    assert "not a directory" in "\n".join(caught.value.details)
    assert json.dumps(str(stack.data_dir.path / "nats")) in (stack.data_dir.run_dir / "nats.conf").read_text()


async def test_external_servers_are_used_if_they_are_new_enough(
    servers: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second stack starts no servers and uses those of the first by their URLs."""
    elsewhere = options(
        tmp_path / "souk",
        parts=frozenset({"postgres", "mongo"}),
        prepare=False,
        postgres_url=servers.postgres_url,
        mongo_url=servers.mongo_url,
    )
    changed = {service: servers.dsn(service) for service in SERVICE_STORES}
    async with Stack(elsewhere).running() as stack:
        assert not stack.processes
        connection = await asyncpg.connect(stack.dsn("order"))
        await connection.close()
        assert stack.dsn("order") != changed["order"]
    monkeypatch.setattr(
        server_versions, "MINIMUM_VERSIONS", dict.fromkeys(server_versions.MINIMUM_VERSIONS, (99, 0, 0))
    )
    old = {"nats": "NATS", "postgres": "PostgreSQL", "mongo": "MongoDB"}
    for part, product in old.items():
        one = elsewhere.model_copy(update={"parts": frozenset({part}), "prepare": True, "nats_url": servers.nats_url})
        outdated = Stack(one)
        outdated.secrets = servers.secrets
        with pytest.raises(StackError, match=rf"SOUK_{part.upper()}_URL is version .* needs {product} 99\.0 or newer"):
            async with outdated.running():
                pytest.fail("it should not start")
    wrong = elsewhere.model_copy(update={"postgres_url": changed["order"], "parts": frozenset({"postgres"})})
    with pytest.raises(StackError, match=r"refuses its superuser.*SOUK_POSTGRES_URL"):
        async with Stack(wrong).running():
            pytest.fail("it should not start")
