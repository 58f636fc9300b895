"""Each store on a disk that fills up: it may refuse writes, and recovers by itself with everything it acknowledged."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError

from infra.messaging import connection as messaging
from infra.ops.devstack.data_dir import MARKER
from infra.ops.devstack.run_as_user import postgres_user
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackPart, StackSettings
from tests.chaos.small_disk import SmallDisk, small_disk, unavailable_reason
from tests.conftest import FREE_PORTS
from tests.support.eventually import eventually

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(unavailable_reason()), reason=f"no disk of its own: {unavailable_reason()}"),
]

UNAVAILABLE_ERRORS = (NatsError, PyMongoError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
TIMEOUT_SECONDS = 40.0

Write = Callable[[int], Awaitable[object]]


@dataclass
class Writer:
    """Writes increasing numbers and records those that were acknowledged."""

    write: Write
    acknowledged: list[int] = field(default_factory=list)
    refused: int = 0
    going: bool = True

    async def run(self) -> None:
        for number in itertools.takewhile(lambda _: self.going, itertools.count()):
            try:
                await self.write(number)
            except UNAVAILABLE_ERRORS:
                self.refused += 1
            else:
                self.acknowledged.append(number)

    async def until_more(self) -> None:
        had = len(self.acknowledged)
        await eventually(lambda: len(self.acknowledged) > had + 3, timeout_seconds=TIMEOUT_SECONDS)

    async def until_refused(self) -> None:
        had = self.refused
        await eventually(lambda: self.refused > had + 1, timeout_seconds=TIMEOUT_SECONDS)


@asynccontextmanager
async def store(
    folder: Path, part: StackPart, name: str, megabytes: int, nodes: int = 1
) -> AsyncIterator[tuple[Stack, SmallDisk]]:
    """A stack of one part, whose process `name` stores its data on a small disk."""
    data = folder / "souk"
    data.mkdir(mode=0o711)
    (data / MARKER).touch()
    async with small_disk(data / name, megabytes) as disk:
        if part == "postgres" and (user := postgres_user()):
            os.chown(disk.folder, user.uid, user.gid)
        options = StackSettings(
            _env_file=None,
            data=data,
            parts=frozenset({part}),
            services=("order", "cart"),
            nats_nodes=nodes,
            **FREE_PORTS,
        )
        async with Stack(options).running() as stack:
            yield stack, disk


@asynccontextmanager
async def writing(write: Write) -> AsyncIterator[Writer]:
    writer = Writer(write)
    task = asyncio.create_task(writer.run())
    try:
        await writer.until_more()
        yield writer
    finally:
        writer.going = False
        await task


@pytest.fixture
def folder(data_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder that PostgreSQL's own user can enter."""
    path = data_folder / str(request.node.name)
    path.mkdir(mode=0o711)
    return path


async def test_postgres_keeps_every_committed_write(folder: Path) -> None:
    async with store(folder, "postgres", "postgres", 300) as (stack, disk):
        setup = await asyncpg.connect(stack.dsn("order"))
        await setup.execute("CREATE TABLE trial (number int)")
        await setup.close()

        async def write(number: int) -> None:
            connection = await asyncpg.connect(stack.dsn("order"), timeout=3)
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO trial VALUES ($1)", number)
                    # Much log and a small table: a full table is refused, but a full log crashes the server.
                    await connection.execute(
                        "SELECT pg_logical_emit_message(true, 'trial', $1)", os.urandom(200_000).hex()
                    )
            finally:
                connection.terminate()

        async with writing(write) as writer:
            disk.fill()
            await eventually(lambda: stack.processes["postgres"].restarts > 0, timeout_seconds=TIMEOUT_SECONDS)
            disk.free()
            await writer.until_more()
        connection = await asyncpg.connect(stack.dsn("order"))
        found = {row["number"] for row in await connection.fetch("SELECT number FROM trial")}
        await connection.close()
        assert set(writer.acknowledged) <= found


async def test_mongo_keeps_every_acknowledged_write(folder: Path) -> None:
    async with AsyncExitStack() as opened:
        stack, disk = await opened.enter_async_context(store(folder, "mongo", "mongo", 900))
        client: AsyncIOMotorClient = AsyncIOMotorClient(  # type: ignore[type-arg]
            stack.cart_url(),
            username="souk_cart",
            password=stack.cart_mongo_password(),
            serverSelectionTimeoutMS=1000,
            socketTimeoutMS=3000,
            w="majority",
            journal=True,
        )
        opened.callback(client.close)
        trial = client["souk_cart"]["trial"]

        async def write(number: int) -> None:
            await trial.insert_one({"_id": number, "filler": os.urandom(200_000)})

        async with writing(write) as writer:
            disk.fill()
            await eventually(lambda: stack.processes["mongo"].restarts > 0, timeout_seconds=TIMEOUT_SECONDS)
            disk.free()
            await writer.until_more()
        found = {one["_id"] async for one in trial.find({}, {"_id": 1})}
        assert set(writer.acknowledged) <= found


@pytest.mark.parametrize("nodes", [1, 3])
async def test_jetstream_keeps_every_acknowledged_message(folder: Path, nodes: int) -> None:
    name = "nats" if nodes == 1 else "nats-1"
    async with AsyncExitStack() as opened:
        stack, disk = await opened.enter_async_context(store(folder, "nats", name, 256, nodes))
        connecting = messaging.connect(stack.nats_url, "operator", stack.nats_password("operator"))
        js = (await opened.enter_async_context(connecting)).jetstream(timeout=1)

        async def write(number: int) -> None:
            await js.publish(f"event.order.{number}.placed", os.urandom(20_000), headers={"Nats-Msg-Id": str(number)})

        async with writing(write) as writer:
            disk.fill()
            if nodes == 1:
                await writer.until_refused()
            else:
                await writer.until_more()
            await eventually(
                lambda: "no space left" in stack.data_dir.log_file(name).read_text(), timeout_seconds=TIMEOUT_SECONDS
            )
            disk.free()
            await eventually(lambda: stack.processes[name].restarts > 0, timeout_seconds=TIMEOUT_SECONDS)
            await asyncio.wait_for(stack.wait_until_ready(name), TIMEOUT_SECONDS)
            await writer.until_more()
        found = await js.stream_info("ORDER", subjects_filter="event.order.>")
        stored = {int(subject.split(".")[2]) for subject in found.state.subjects or {}}
        assert set(writer.acknowledged) <= stored
