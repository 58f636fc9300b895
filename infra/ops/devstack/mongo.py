"""The MongoDB server: a replica set of one, because transactions and `w: majority` need a set; one user, the cart's."""

import asyncio
from typing import Any
from urllib.parse import quote, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.readiness_probes import listens
from infra.ops.devstack.secret_files import MONGO, OPERATOR, Vault
from infra.ops.devstack.server_binaries import Server
from infra.ops.devstack.supervised_process import POLL, Program

REPLICA_SET = "souk"
DATABASE = "souk_cart"
CART = "souk_cart"
ADMIN = "souk_operator"
UNAUTHORIZED = 13
ALREADY_INITIALIZED = 23
USER_EXISTS = 51003
PATIENCE = 60.0
"""Seconds that a set may take to choose its primary."""
CONFIG = """\
# Written by `souk up` at every start.
net: {{bindIp: {host}, port: {port}, unixDomainSocket: {{enabled: false}}}}
storage: {{dbPath: "{folder}", wiredTiger: {{engineConfig: {{cacheSizeGB: 0.25}}}}}}
replication: {{replSetName: {replica_set}, oplogSizeMB: 256}}
security: {{authorization: enabled, keyFile: "{key}"}}
# A transaction whose client died keeps its documents locked until then; ours give up after four seconds.
setParameter: {{diagnosticDataCollectionEnabled: false, transactionLifetimeLimitSeconds: 5}}
"""

Client = AsyncMongoClient[dict[str, Any]]  # documents of any shape, as the driver has them


def program(server: Server, layout: Layout, vault: Vault, port: int) -> Program:
    folder = layout.data / "mongo"
    folder.mkdir(mode=0o700, exist_ok=True)
    config = layout.run / "mongod.conf"
    config.write_text(
        CONFIG.format(host=LOOPBACK, port=port, folder=folder, replica_set=REPLICA_SET, key=vault.mongo_keyfile())
    )

    async def ready() -> bool:
        return await listens(port)

    return Program(
        name="mongo",
        argv=(str(server.binary), "--config", str(config)),
        ready=ready,
        log=layout.log("mongo"),
        address=f"{LOOPBACK}:{port}",
        origin=server.origin,
        stop_within=20.0,
        ready_within=60.0,
    )


def admin_url(vault: Vault, port: int) -> str:
    return f"mongodb://{ADMIN}:{quote(vault.secret(OPERATOR, MONGO))}@{LOOPBACK}:{port}/?directConnection=true"


def cart_url(server_url: str) -> str:
    """What the cart service gets: the same servers and options, its own database, no user and no password."""
    place = urlsplit(server_url)
    hosts = place.netloc.rpartition("@")[2]
    options = [part for part in place.query.split("&") if part and not part.startswith("authSource=")]
    return f"{place.scheme}://{hosts}/{DATABASE}?" + "&".join([f"authSource={DATABASE}", *options])


async def prepare(vault: Vault, port: int) -> None:
    """Makes the replica set and its administrator on the first start; returns when writes are accepted."""
    async with _client(f"mongodb://{LOOPBACK}:{port}/?directConnection=true") as client:
        members = [{"_id": 0, "host": f"{LOOPBACK}:{port}"}]
        try:
            await client.admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": members}})
            await _until_primary(client)
            # Possible only from this machine, and only until there is a first user.
            await _create_user(client, "admin", ADMIN, vault.secret(OPERATOR, MONGO), ["root"])
        except OperationFailure as error:
            if error.code not in {UNAUTHORIZED, ALREADY_INITIALIZED}:
                raise
            await _take_over(vault, port)


async def _take_over(vault: Vault, port: int) -> None:
    """A set that was made before: it knows its only member by address, and the port may be another one today."""
    async with _client(admin_url(vault, port)) as client:
        config = (await client.admin.command("replSetGetConfig"))["config"]
        if config["members"][0]["host"] != f"{LOOPBACK}:{port}":
            config["members"][0]["host"] = f"{LOOPBACK}:{port}"
            config["version"] += 1
            await client.admin.command({"replSetReconfig": config, "force": True})
        await _until_primary(client)


async def _until_primary(client: Client) -> None:
    while not (await client.admin.command("hello")).get("isWritablePrimary"):  # noqa: ASYNC110 - it is the server's state
        await asyncio.sleep(POLL)


async def unite(server_url: str) -> None:
    """Makes somebody else's server, started with --replSet, a replica set of one, unless it is in a set already."""
    hosts = urlsplit(server_url).netloc.rpartition("@")[2]
    try:
        async with _client(server_url) as client:
            known = await client.admin.command("hello")
            if "setName" not in known and known.get("isreplicaset"):
                members = [{"_id": 0, "host": hosts}]
                await client.admin.command({"replSetInitiate": {"_id": REPLICA_SET, "members": members}})
            await _until_primary(client)
    except PyMongoError as error:
        raise StackError(
            f"MongoDB at {hosts} cannot be made a replica set: {error}. Is SOUK_MONGO_URL right?"
        ) from None


async def provision(server_url: str, vault: Vault) -> None:
    """The cart's user, who may read and write its own database and nothing else."""
    password = vault.secret("cart", MONGO)
    roles = [{"role": "readWrite", "db": DATABASE}]
    try:
        async with _client(server_url) as client:
            try:
                await _create_user(client, DATABASE, CART, password, roles)
            except OperationFailure as error:
                if error.code != USER_EXISTS:
                    raise
                await client[DATABASE].command({"updateUser": CART, "pwd": password, "roles": roles})
    except PyMongoError as error:
        hosts = urlsplit(server_url).netloc.rpartition("@")[2]
        raise StackError(f"MongoDB at {hosts} refuses its administrator: {error}. Is SOUK_MONGO_URL right?") from None


async def _create_user(client: Client, database: str, name: str, password: str, roles: list[Any]) -> None:
    await client[database].command({"createUser": name, "pwd": password, "roles": roles})


def _client(url: str) -> Client:
    return AsyncMongoClient(url, serverSelectionTimeoutMS=10_000)
