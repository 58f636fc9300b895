"""NATS as a cluster of three nodes: each stores everything, and any one may die or freeze."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from contracts import headers
from contracts.money import Money
from contracts.payment import PaymentCaptured
from infra.database.postgres import Database, Transaction
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings
from infra.messaging import connection, provisioning, topology
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM
from infra.ops.cli.running_stack import RunningStack
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.secret_files import READERS_DIR
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from infra.runtime.service import Resources, ServiceParts
from tests.conftest import FREE_PORTS
from tests.infra.conftest import KernelStack
from tests.infra.ops.devstack.test_up import SoukCommands
from tests.support.eventually import eventually

# The NATS client forgets to close what it had opened to a frozen node.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NODES = ["nats-1", "nats-2", "nats-3"]
STREAMS = [
    *(str(stream.name) for stream in topology.stream_configs()),
    *(f"OBJ_{bucket.name}" for bucket in topology.OBJECT_BUCKETS),
    *(board.stream_name for board in topology.KV_BUCKETS),
    AUDIT_ANCHOR_STREAM.name,
]


@pytest.fixture(scope="module")
async def cluster(data_folder: Path) -> AsyncIterator[KernelStack]:
    options = StackSettings(
        _env_file=None,
        data=data_folder / "cluster",
        parts=frozenset({"nats", "postgres"}),
        services=("order",),
        nats_nodes=3,
        temporary=True,
        **FREE_PORTS,
    )
    async with Stack(options).running() as stack:
        yield KernelStack(stack)
    gc.collect()


@pytest.fixture(scope="module")
async def js(cluster: KernelStack) -> AsyncIterator[JetStreamContext]:
    async with cluster.client("operator") as client:
        yield client.jetstream(timeout=2)


@pytest.fixture(scope="module")
async def effects(cluster: KernelStack) -> AsyncIterator[Counter[UUID]]:
    """Counts how often the service has applied each payment."""
    done: Counter[UUID] = Counter()

    async def captured(_deps: object, tx: Transaction, event: PaymentCaptured) -> None:
        tx.on_commit(lambda: done.update([event.payment_id]))

    def build(_resources: Resources[PostgresSettings, Database]) -> ServiceParts:
        return ServiceParts(None)

    async with cluster.serve(build, event_handlers={PaymentCaptured: captured}):
        yield done


async def publish_payment(js: JetStreamContext) -> UUID:
    """Publishes an event until it is acknowledged, as the relay does."""
    event = PaymentCaptured(payment_id=new_id(), order_id=new_id(), amount=Money(amount=100, currency="USD"))
    event_id = str(event.payment_id)
    header = {headers.EVENT_ID: event_id, headers.EVENT_TYPE: event.ce_type(), headers.MESSAGE_ID: event_id}

    async def acknowledged() -> bool:
        try:
            return bool(await js.publish(event.subject, event.model_dump_json().encode(), headers=header))
        except NatsError as error:
            raise AssertionError from error

    await eventually(acknowledged)
    return event.payment_id


async def provision(stack: Stack, replicas: int) -> list[str]:
    return await provisioning.provision(stack.nats_url, stack.nats_password("operator"), replicas=replicas)


async def test_every_stream_is_stored_on_every_node(cluster: KernelStack, js: JetStreamContext) -> None:
    assert await provision(cluster.stack, 3) == []
    for name in STREAMS:
        info = await js.stream_info(name)
        assert info.cluster
        assert info.cluster.replicas
        assert {info.cluster.leader, *(peer.name for peer in info.cluster.replicas)} == set(NODES)
    for consumer in topology.consumers_for("order"):
        found = await js.consumer_info(consumer.stream, "order")
        assert found.cluster
        assert len(found.cluster.replicas or []) == 2


async def test_a_stream_with_one_copy_gets_three(cluster: KernelStack, js: JetStreamContext) -> None:
    config = (await js.stream_info("USER")).config
    await js.update_stream(config.evolve(num_replicas=1))
    assert await provision(cluster.stack, 3) == ["stream USER updated"]


async def test_more_copies_than_nodes_are_refused(cluster: KernelStack) -> None:
    with pytest.raises(provisioning.NotEnoughNodes, match="too few nodes for 5 replicas of CATALOG"):
        await provision(cluster.stack, 5)


async def test_a_killed_leader_loses_no_event(
    cluster: KernelStack, js: JetStreamContext, effects: Counter[UUID]
) -> None:
    before = await publish_payment(js)
    cluster.stack.kill(await cluster.stack.nats_leader("PAYMENT"))
    after = await publish_payment(js)
    await eventually(lambda: effects[before] and effects[after])
    found = await js.get_last_msg("PAYMENT", "event.payment.>")
    assert (found.headers or {})[headers.EVENT_ID] == str(after)
    await asyncio.wait_for(cluster.stack.wait_until_ready("nats"), 20)
    assert (effects[before], effects[after]) == (1, 1)


@pytest.mark.parametrize("node", NODES)
async def test_any_node_may_die(cluster: KernelStack, js: JetStreamContext, effects: Counter[UUID], node: str) -> None:
    before = await publish_payment(js)
    await eventually(lambda: effects[before])  # one that is on its way when its node dies comes again after ten seconds
    cluster.stack.kill(node)
    published = [before, *[await publish_payment(js) for _ in range(5)]]
    await eventually(lambda: [effects[one] for one in published] == [1] * 6)
    await asyncio.wait_for(cluster.stack.wait_until_ready("nats"), 20)


async def test_a_frozen_leader_is_replaced(cluster: KernelStack, js: JetStreamContext, effects: Counter[UUID]) -> None:
    frozen = await cluster.stack.nats_leader("PAYMENT")
    cluster.stack.pause(frozen)
    try:
        published = [await publish_payment(js) for _ in range(5)]
        await eventually(lambda: [effects[one] for one in published] == [1] * 5)
    finally:
        cluster.stack.resume(frozen)
    behind = await publish_payment(js)
    await eventually(lambda: effects[behind] == 1)


async def test_every_node_accepts_a_new_reader(cluster: KernelStack) -> None:
    stack = cluster.stack
    (stack.secrets.owner_dir(READERS_DIR) / "warehouse").write_text("a-secret-of-the-warehouse")
    stack.reload_nats_users()

    for url in connection.server_urls(stack.nats_url):

        async def enters(url: str = url) -> bool:
            password = stack.nats_password("warehouse")
            try:
                async with connection.connect(url, "warehouse", password, allow_reconnect=False) as client:
                    return client.is_connected
            except (NatsError, OSError):
                return False

        await eventually(enters)


@asynccontextmanager
async def operator_client(stack: Stack) -> AsyncIterator[Client]:
    """Connects as the operator to a stack that has just started."""
    async with connection.connect(stack.nats_url, "operator", stack.nats_password("operator")) as client:
        yield client


async def test_events_of_release_0_1_0_move_into_the_account_of_the_shop(tmp_path: Path) -> None:
    """That release had no accounts, so its streams are in the folder of the global account."""
    settings = StackSettings(_env_file=None, data=tmp_path / "souk", parts=frozenset({"nats"}), **FREE_PORTS)
    stack = Stack(settings)
    async with stack.running(), operator_client(stack) as client:
        await client.jetstream().publish("event.order.1.placed", b"{}", stream="ORDER")
    jetstream = tmp_path / "souk" / "nats" / "jetstream"
    (jetstream / "SHOP").rename(jetstream / "$G")
    stack = Stack(settings)
    async with stack.running(), operator_client(stack) as client:
        assert (await client.jetstream().stream_info("ORDER")).state.messages == 1
    cluster = settings.model_copy(update={"nats_nodes": 3, "data": tmp_path / "cluster"})
    for node in NODES:
        (tmp_path / "cluster" / node / "jetstream" / "$G").mkdir(parents=True)
    (tmp_path / "cluster" / "souk-data.txt").touch()
    with pytest.raises(StackError, match=r"cluster of Souk 0\.1\.0"):
        async with Stack(cluster).running():
            pytest.fail("it should not start")


async def test_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    alone = StackSettings(_env_file=None, data=tmp_path / "souk", parts=frozenset({"nats"}), **FREE_PORTS)
    async with Stack(alone).running():
        pass
    with pytest.raises(StackError, match=r"stored by 1 NATS node; 3 cannot.*--nats-nodes 1"):
        async with Stack(alone.model_copy(update={"nats_nodes": 3})).running():
            pytest.fail("it should not start")


@pytest.mark.long
@pytest.mark.timeout(120)  # four processes of Python, one after the other
async def test_commands_see_every_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    souk = SoukCommands(tmp_path / "souk")
    up = await souk.up("--nats-nodes", "3")
    try:
        monkeypatch.setenv("SOUK_DATA", str(souk.data))
        running = RunningStack(None)
        assert len(running.pids("nats")) == 3
        assert len(connection.server_urls(running.nats_url)) == len(running.nats_monitor_urls) == 3
        _, status = await souk.run("status")
        _, logs = await souk.run("logs", "nats")
        for node in NODES:
            assert node in status
            assert f" {node} " in logs
    finally:
        await souk.run("down")
        await up.communicate()
    assert up.returncode == 0
