"""The MongoDB server and the cart's user. It is a replica set of one: transactions and `w: majority` need a set."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.private_files import create_private_dir, write_private
from infra.ops.devstack.readiness_probes import accepts_connections
from infra.ops.devstack.secret_files import MONGO_PASSWORD, OPERATOR, SecretFiles
from infra.ops.devstack.server_binaries import ServerBinary, server_version
from infra.ops.devstack.server_versions import UNKNOWN_VERSION, require_version
from infra.ops.devstack.supervised_process import POLL_SECONDS, Program

REPLICA_SET = "souk"
VERSION_FILE = "mongo-version"
"""Holds the major version that has created the data: MongoDB's own files do not say it."""

CART_DATABASE = "souk_cart"
CART_USER = "souk_cart"
ADMIN_USER = "souk_operator"
UNAUTHORIZED = 13
ALREADY_INITIALIZED = 23
USER_EXISTS = 51003
CONFIG = """\
# Written by `souk up` at every start.
net: {{bindIp: {host}, port: {port}, unixDomainSocket: {{enabled: false}}}}
# The journal is also flushed as soon as a write waits for it, as all of Souk's do. So it rests while there is none.
storage: {{dbPath: "{folder}", journal: {{commitIntervalMs: 500}}, wiredTiger: {{engineConfig: {{cacheSizeGB: 0.25}}}}}}
replication: {{replSetName: {replica_set}, oplogSizeMB: 256}}
security: {{authorization: enabled, keyFile: "{key}"}}
# A transaction of a dead client keeps its documents locked this long. Souk's own transactions time out after 4 s.
setParameter: {{diagnosticDataCollectionEnabled: false, transactionLifetimeLimitSeconds: 5}}
"""

MongoClient = AsyncMongoClient[dict[str, Any]]  # documents of any shape, as the driver has them


def mongo_program(server: ServerBinary, data_dir: DataDir, secrets: SecretFiles, port: int) -> Program:
    """Writes the configuration and returns the program."""
    folder = create_private_dir(data_dir.path / "mongo")
    _check_data_version(server, data_dir, folder)
    config = write_private(
        data_dir.run_dir / "mongod.conf",
        CONFIG.format(host=LOOPBACK, port=port, folder=folder, replica_set=REPLICA_SET, key=secrets.mongo_keyfile()),
    )

    async def ready() -> bool:
        return await accepts_connections(port)

    return Program(
        name="mongo",
        argv=(str(server.binary), "--config", str(config)),
        is_ready=ready,
        log=data_dir.log_file("mongo"),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
        stop_timeout_seconds=20.0,
        ready_timeout_seconds=60.0,
    )


def _check_data_version(server: ServerBinary, data_dir: DataDir, folder: Path) -> None:
    """Refuses data of a version that this server cannot read: its own major version and the one before are readable."""
    record, of_server = data_dir.path / VERSION_FILE, server_version(server)[0]
    if of_server == UNKNOWN_VERSION[0]:
        return
    if not any(folder.iterdir()):
        write_private(record, f"{of_server}\n")
    elif record.exists() and of_server - (of_data := int(record.read_text())) not in {0, 1}:
        raise StackError(
            f"MongoDB {of_data} has written the data in {data_dir.path}, and MongoDB {of_server} ({server.origin}) "
            f"cannot read it. To keep the data, start with MongoDB {of_data}: SOUK_SERVERS=path uses the one on PATH, "
            "without it the pinned wheel is used. To start empty, run `souk down --purge` first. "
            "Or choose another folder with --data."
        )


def admin_url(secrets: SecretFiles, port: int) -> str:
    """Returns the URL of the server's administrator."""
    password = quote(secrets.get_or_create(OPERATOR, MONGO_PASSWORD))
    return f"mongodb://{ADMIN_USER}:{password}@{LOOPBACK}:{port}/?directConnection=true"


def cart_url(server_url: str) -> str:
    """Returns the cart service's URL: the same servers and options, its own database, no user and no password."""
    parts = urlsplit(server_url)
    hosts = parts.netloc.rpartition("@")[2]
    options = [part for part in parts.query.split("&") if part and not part.startswith("authSource=")]
    return f"{parts.scheme}://{hosts}/{CART_DATABASE}?" + "&".join([f"authSource={CART_DATABASE}", *options])


async def initiate_replica_set(secrets: SecretFiles, port: int) -> None:
    """Creates the replica set and its administrator on the first start. Returns when writes are accepted."""
    async with _client(f"mongodb://{LOOPBACK}:{port}/?directConnection=true") as client:
        members = [{"_id": 0, "host": f"{LOOPBACK}:{port}"}]
        try:
            await client.admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": members}})
            await _wait_for_primary(client)
            # MongoDB allows this only from this machine, and only until the first user exists.
            await _create_user(client, "admin", ADMIN_USER, secrets.get_or_create(OPERATOR, MONGO_PASSWORD), ["root"])
        except OperationFailure as error:
            if error.code not in {UNAUTHORIZED, ALREADY_INITIALIZED}:
                raise
            await _reconfigure(secrets, port)


async def _reconfigure(secrets: SecretFiles, port: int) -> None:
    """Updates an existing set, which stores its member's address: the port may have changed since."""
    async with _client(admin_url(secrets, port)) as client:
        config = (await client.admin.command("replSetGetConfig"))["config"]
        if config["members"][0]["host"] != f"{LOOPBACK}:{port}":
            config["members"][0]["host"] = f"{LOOPBACK}:{port}"
            config["version"] += 1
            await client.admin.command({"replSetReconfig": config, "force": True})
        await _wait_for_primary(client)


async def _wait_for_primary(client: MongoClient) -> None:
    while not (await client.admin.command("hello")).get("isWritablePrimary"):  # noqa: ASYNC110 - it is the server's state
        await asyncio.sleep(POLL_SECONDS)


async def ensure_replica_set(server_url: str) -> None:
    """Makes an external server that was started with --replSet a replica set of one, unless it is in a set already."""
    hosts = urlsplit(server_url).netloc.rpartition("@")[2]
    try:
        async with _client(server_url) as client:
            known = await client.admin.command("hello")
            if "setName" not in known and known.get("isreplicaset"):
                members = [{"_id": 0, "host": hosts}]
                await client.admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": members}})
            await _wait_for_primary(client)
    except PyMongoError as error:
        raise StackError(f"MongoDB at {hosts} cannot become a replica set: {error}. Check SOUK_MONGO_URL.") from None


async def create_cart_user(server_url: str, secrets: SecretFiles) -> None:
    """Creates the cart's user, which may read and write its own database only, or updates its password."""
    password = secrets.get_or_create("cart", MONGO_PASSWORD)
    roles = [{"role": "readWrite", "db": CART_DATABASE}]
    try:
        async with _client(server_url) as client:
            await _check_server_version(client)
            try:
                await _create_user(client, CART_DATABASE, CART_USER, password, roles)
            except OperationFailure as error:
                if error.code != USER_EXISTS:
                    raise
                await client[CART_DATABASE].command({"updateUser": CART_USER, "pwd": password, "roles": roles})
    except PyMongoError as error:
        hosts = urlsplit(server_url).netloc.rpartition("@")[2]
        raise StackError(f"MongoDB at {hosts} refuses its administrator: {error}. Check SOUK_MONGO_URL.") from None


async def _check_server_version(client: MongoClient) -> None:
    major, minor, patch, *_ = (await client.server_info())["versionArray"]
    require_version(
        "mongod",
        (major, minor, patch),
        "The server of SOUK_MONGO_URL",
        "unset SOUK_MONGO_URL to run the pinned wheel",
    )


async def _create_user(client: MongoClient, database: str, name: str, password: str, roles: list[Any]) -> None:
    await client[database].command({"createUser": name, "pwd": password, "roles": roles})


def _client(url: str) -> MongoClient:
    return AsyncMongoClient(url, serverSelectionTimeoutMS=10_000)
