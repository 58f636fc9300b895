"""The local stack as one object, which `souk up` and the tests run.

    async with Stack(Options(data=folder, http_port=0)).running() as stack:
        ... stack.http_url ...

Servers start together. NATS is provisioned and the databases are migrated as soon as they serve, and each service and
edge starts when its servers are ready. The stack stops in the opposite order, so that work in progress can finish.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any

from infra.database.migrate import migrate_all
from infra.messaging import connection, provisioning
from infra.ops.devstack import mongo, nats, postgres
from infra.ops.devstack.data_dir import data_dir_error, open_data_dir, remove_data_dir
from infra.ops.devstack.endpoints import StackEndpoints
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import PortPicker
from infra.ops.devstack.instance_lock import lock_data_dir
from infra.ops.devstack.openssl_libraries import openssl_environment
from infra.ops.devstack.port_allocation import (
    NATS_PROCESS,
    allocate_ports,
    edge_processes,
    matches_name,
    nats_processes,
    service_processes,
)
from infra.ops.devstack.process_plan import ProcessPlan
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.server_binaries import ServerFinder
from infra.ops.devstack.stack_settings import SERVICE_STORES, StackSettings
from infra.ops.devstack.state_file import ProcessState, StackState, own_create_time, write_state
from infra.ops.devstack.supervised_process import SupervisedProcess

STORES_AND_MAIL = ("postgres", "mongo", "mail")


class Stack(StackEndpoints):
    """Supervises all processes of one run.

    `on_change` is called whenever the state of a process changes. `notice` says what was cleaned up after an earlier
    stack that was killed. `timings` are the seconds that each step of the start took.
    """

    def __init__(
        self,
        settings: StackSettings,
        *,
        on_change: Callable[[], None] = lambda: None,
        finder: ServerFinder | None = None,
    ) -> None:
        super().__init__(settings)
        self.processes: dict[str, SupervisedProcess] = {}
        self.timings: dict[str, float] = {}
        self.notice = ""
        self._finder = finder or ServerFinder(settings.servers)
        self._on_change = on_change
        self._plan = ProcessPlan(self, self._finder)
        self._ready = False
        self._created = own_create_time()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Stack"]:
        """Starts everything, and stops it on exit. Raises a `StackError` that explains why a part cannot start."""
        open_data_dir(self.settings.data)
        with lock_data_dir(self.data_dir) as self.notice, PortPicker() as ports:
            try:
                await self._start(ports)
                yield self
            finally:
                await self._stop()
        if self.settings.temporary:
            remove_data_dir(self.data_dir)

    # Control of processes, by the name of a process (`order-2`) or of a service (every process of `order`).

    def find_processes(self, name: str) -> Sequence[SupervisedProcess]:
        """Returns the process, or the processes of the service, with this name."""
        found = [process for key, process in self.processes.items() if matches_name(key, name)]
        if not found:
            raise StackError(f"There is no process {name}. Choose one of {', '.join(self.processes)}.")
        return found

    def pids(self, name: str) -> Sequence[int]:
        """Returns the pids of the processes that run."""
        return [process.pid for process in self.find_processes(name) if process.pid]

    async def start(self, name: str) -> None:
        """Starts the processes and waits until they are ready."""
        await run_together(*(process.start() for process in self.find_processes(name)))

    async def stop(self, name: str, stop_signal: signal.Signals | None = None) -> None:
        """Stops the processes until `start`. `stop_signal` may be SIGKILL."""
        await run_together(*(process.stop(stop_signal) for process in self.find_processes(name)))

    async def restart(self, name: str) -> None:
        """Stops and starts the processes."""
        await run_together(*(process.restart() for process in self.find_processes(name)))

    def kill(self, name: str) -> None:
        """Sends SIGKILL. The stack restarts the processes as after any crash; `wait_until_ready` waits for that."""
        for process in self.find_processes(name):
            process.kill()

    def pause(self, name: str) -> None:
        """Sends SIGSTOP: the processes keep their connections but answer nothing."""
        for process in self.find_processes(name):
            process.send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Sends SIGCONT to paused processes."""
        for process in self.find_processes(name):
            process.send_signal(signal.SIGCONT)

    async def wait_until_ready(self, name: str) -> None:
        """Waits until all these processes are ready."""
        await run_together(*(process.wait_until_ready() for process in self.find_processes(name)))

    def reload_nats_users(self) -> None:
        """Makes NATS read its users again. Connections of other users stay open."""
        nats.write_users_config(self.data_dir, self.secrets)
        for process in self.find_processes(NATS_PROCESS):
            process.send_signal(signal.SIGHUP)

    async def nats_leader(self, stream: str) -> str:
        """Returns the name of the process that leads a stream now."""
        async with connection.connect(self.nats_url, OPERATOR, self.nats_password(OPERATOR)) as client:
            cluster = (await client.jetstream().stream_info(stream)).cluster
        return (cluster.leader if cluster else None) or NATS_PROCESS

    # Start and stop.

    async def _start(self, ports: PortPicker) -> None:
        try:
            self.ports = allocate_ports(self.settings, ports)
            self.processes = {
                program.name: SupervisedProcess(program, self._publish_state) for program in self._plan.programs()
            }
            stores = {"nats": self._start_nats, "postgres": self._start_postgres, "mongo": self._start_mongo}
            prepared = {name: asyncio.Event() for name in stores}
            servers = [_then_set(start(), prepared[name]) for name, start in stores.items()]
            nodes = nats_processes(self.settings)
            others = [name for name in self.processes if name not in stores and name not in nodes]
            await run_together(*servers, *(self._start_after(name, prepared) for name in others))
        except OSError as error:
            raise data_dir_error(self.data_dir.path, error) from error
        self._ready = True
        self._publish_state()

    async def _start_after(self, name: str, prepared: Mapping[str, asyncio.Event]) -> None:
        """Starts a process as soon as the servers it needs are ready, provisioned and migrated."""
        service = service_processes(self.settings).get(name)
        needs = (
            ["nats", SERVICE_STORES[service]] if service else ["nats"] if name in edge_processes(self.settings) else []
        )
        for server in needs:
            await prepared[server].wait()
        await self._start_one(name)

    async def _start_one(self, name: str) -> None:
        if name in self.processes:
            with self._timed(name):
                await self.processes[name].start()

    async def _start_nats(self) -> None:
        await run_together(*(self._start_one(name) for name in nats_processes(self.settings)))
        if self.settings.prepare and NATS_PROCESS in self.settings.parts:
            with self._timed("provision nats"):
                await self._provision_nats()

    async def _provision_nats(self) -> None:
        await nats.check_server_version(self.nats_url, self.nats_password(OPERATOR))
        try:
            await provisioning.provision(
                self.nats_url,
                self.nats_password(OPERATOR),
                replicas=self.settings.nats_nodes,
                readers=self.secrets.reader_passwords(),
            )
        except provisioning.NotEnoughNodes as error:
            raise StackError(f"{error} Choose another number with --nats-nodes (SOUK_NATS_NODES).") from None
        except provisioning.ReaderNotConfigured as error:
            raise StackError(str(error)) from error

    async def _start_postgres(self) -> None:
        if "postgres" not in self.settings.parts:
            return
        if server := self._plan.postgres:
            with self._timed("install postgres"):
                await server.initialize()
        await self._start_one("postgres")
        services = [name for name in self.settings.services if SERVICE_STORES[name] == "postgres"]
        with self._timed("provision postgres"):
            await postgres.create_roles_and_databases(self.postgres_url, self.secrets, services)
        if self.settings.prepare:
            with self._timed("migrate"):
                await migrate_all({name: self.dsn(name) for name in services})

    async def _start_mongo(self) -> None:
        if "mongo" not in self.settings.parts:
            return
        if process := self.processes.get("mongo"):
            with self._timed("openssl"):
                env = await openssl_environment(self._finder.mongo(), self.data_dir.path / "openssl")
            process.program = replace(process.program, env={**process.program.env, **env})
            await self._start_one("mongo")
            with self._timed("replica set"):
                await mongo.initiate_replica_set(self.secrets, self.ports.mongo)
        await mongo.create_cart_user(self.mongo_url, self.secrets)

    async def _stop(self) -> None:
        self._ready = False
        servers = [*nats_processes(self.settings), *STORES_AND_MAIL]
        groups = [["nginx"], edge_processes(self.settings), list(service_processes(self.settings)), servers]
        for group in groups:
            ending = (self.processes[name].stop() for name in group if name in self.processes)
            await asyncio.gather(*ending)

    # The state for other commands.

    def state(self) -> StackState:
        """Returns the state of the supervisor and every process."""
        rows = [
            ProcessState(
                name=process.name,
                state=process.state,
                address=process.program.address,
                origin=process.program.origin,
                pid=process.pid,
                created=process.create_time,
                restarts=process.restarts,
                since=process.since,
            )
            for process in self.processes.values()
        ]
        return StackState(
            pid=os.getpid(), created=self._created, ready=self._ready, urls=dict(self.urls()), processes=rows
        )

    def _publish_state(self) -> None:
        with suppress(OSError):  # a full disk must not end the supervisor that restarts its servers
            write_state(self.data_dir.state_file, self.state())
        self._on_change()

    @contextmanager
    def _timed(self, what: str) -> "Iterator[None]":
        started = time.monotonic()
        yield
        self.timings[what] = round(time.monotonic() - started, 3)


async def _then_set(step: Coroutine[Any, Any, None], done: asyncio.Event) -> None:
    await step
    done.set()


async def run_together(*steps: Coroutine[Any, Any, None]) -> None:
    """Runs steps concurrently. The first failure cancels the others and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
