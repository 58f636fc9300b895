"""The local stack as one object: `souk up` runs it, and so does the test session.

    async with Stack(Options(data=folder, http_port=0)).running() as stack:
        ... stack.http_url ...

Servers start together; NATS is provisioned and the databases are migrated as soon as they serve; each service and edge
starts when what it needs is there. It ends in the opposite order, so that what is under way can finish.
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
from infra.messaging import connection as messaging
from infra.messaging import topology as streams
from infra.ops.devstack import mongo, nats, postgres
from infra.ops.devstack.data_dir import open_data_folder, purge, unusable
from infra.ops.devstack.endpoints import Whereabouts
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.instance_lock import claimed
from infra.ops.devstack.openssl import with_openssl
from infra.ops.devstack.port_allocation import NATS, choose, edge_processes, named, nats_processes, service_processes
from infra.ops.devstack.process_plan import Plan
from infra.ops.devstack.secret_files import OPERATOR
from infra.ops.devstack.server_binaries import Search
from infra.ops.devstack.stack_settings import STORES, Options
from infra.ops.devstack.state_file import ProcessState, StackState, own_start, write_state
from infra.ops.devstack.supervised_process import Process

STORES_AND_MAIL = ("postgres", "mongo", "mail")


class Stack(Whereabouts):
    """`changed` is called at every change of a process; `notice` says what an earlier stack left behind."""

    def __init__(
        self, options: Options, *, changed: Callable[[], None] = lambda: None, search: Search | None = None
    ) -> None:
        super().__init__(options)
        self.processes: dict[str, Process] = {}
        self.timings: dict[str, float] = {}
        self.notice = ""
        self._search = search or Search()
        self._changed = changed
        self._plan = Plan(self, self._search)
        self._ready = False
        self._created = own_start()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Stack"]:
        """Everything serves inside, and has ended after. Raises a `StackError` in plain words when it cannot be."""
        open_data_folder(self.options.data)
        with claimed(self.layout) as self.notice:
            try:
                await self._start()
                yield self
            finally:
                await self._stop()
        if self.options.temporary:
            purge(self.layout)

    # What one can do to its processes, by a process's name (`order-2`) or a service's (all of `order`).

    def named(self, name: str) -> Sequence[Process]:
        found = [process for key, process in self.processes.items() if named(key, name)]
        if not found:
            raise StackError(f"There is no process {name} here; there are {', '.join(self.processes)}.")
        return found

    def pids(self, name: str) -> Sequence[int]:
        return [process.pid for process in self.named(name) if process.pid]

    async def start(self, name: str) -> None:
        await together(*(process.start() for process in self.named(name)))

    async def stop(self, name: str, how: signal.Signals | None = None) -> None:
        """It stays down until `start`; `how` may be SIGKILL."""
        await together(*(process.stop(how) for process in self.named(name)))

    async def restart(self, name: str) -> None:
        await together(*(process.restart() for process in self.named(name)))

    def kill(self, name: str) -> None:
        """SIGKILL; the stack brings it back as after any death: see `until_ready`."""
        for process in self.named(name):
            process.kill()

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        for process in self.named(name):
            process.send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        for process in self.named(name):
            process.send(signal.SIGCONT)

    async def until_ready(self, name: str) -> None:
        await together(*(process.until_ready() for process in self.named(name)))

    def reload_users(self) -> None:
        """Tells NATS of users added since it started; connections of the others stay."""
        nats.write_users(self.layout, self.vault)
        for process in self.named(NATS):
            process.send(signal.SIGHUP)

    async def nats_leader(self, stream: str) -> str:
        """The name of the process that leads a stream now."""
        async with messaging.connect(self.nats_url, OPERATOR, self.password(OPERATOR)) as client:
            cluster = (await client.jetstream().stream_info(stream)).cluster
        return (cluster.leader if cluster else None) or NATS

    # How it starts and ends.

    async def _start(self) -> None:
        try:
            self.addresses = choose(self.options)
            self.processes = {program.name: Process(program, self._note) for program in self._plan.programs()}
            stores = {"nats": self._start_nats, "postgres": self._start_postgres, "mongo": self._start_mongo}
            prepared = {name: asyncio.Event() for name in stores}
            servers = [_then(start(), prepared[name]) for name, start in stores.items()]
            nodes = nats_processes(self.options)
            others = [name for name in self.processes if name not in stores and name not in nodes]
            await together(*servers, *(self._start_after(name, prepared) for name in others))
        except OSError as error:
            raise unusable(self.layout.data, error) from error
        self._ready = True
        self._note()

    async def _start_after(self, name: str, prepared: Mapping[str, asyncio.Event]) -> None:
        """Starts it as soon as the servers it needs are there, provisioned and migrated."""
        service = service_processes(self.options).get(name)
        needs = ["nats", STORES[service]] if service else ["nats"] if name in edge_processes(self.options) else []
        for server in needs:
            await prepared[server].wait()
        await self._start_one(name)

    async def _start_one(self, name: str) -> None:
        if name in self.processes:
            with self._timed(name):
                await self.processes[name].start()

    async def _start_nats(self) -> None:
        await together(*(self._start_one(name) for name in nats_processes(self.options)))
        if self.options.prepare and NATS in self.options.parts:
            with self._timed("provision nats"):
                await self._provision_nats()

    async def _provision_nats(self) -> None:
        try:
            await streams.provision(self.nats_url, self.password(OPERATOR), replicas=self.options.nats_nodes)
        except streams.NotEnoughNodes as error:
            raise StackError(f"{error} Choose another number with --nats-nodes (SOUK_NATS_NODES).") from None

    async def _start_postgres(self) -> None:
        if "postgres" not in self.options.parts:
            return
        if server := self._plan.postgres:
            with self._timed("install postgres"):
                await server.install()
        await self._start_one("postgres")
        services = [name for name in self.options.services if STORES[name] == "postgres"]
        with self._timed("provision postgres"):
            await postgres.provision(self.postgres_url, self.vault, services)
        if self.options.prepare:
            with self._timed("migrate"):
                await migrate_all({name: self.dsn(name) for name in services})

    async def _start_mongo(self) -> None:
        if "mongo" not in self.options.parts:
            return
        if process := self.processes.get("mongo"):
            with self._timed("openssl"):
                env = await with_openssl(self._search.mongo(), self.layout.data / "openssl")
            process.program = replace(process.program, env={**process.program.env, **env})
            await self._start_one("mongo")
            with self._timed("replica set"):
                await mongo.prepare(self.vault, self.addresses.mongo)
        await mongo.provision(self.mongo_url, self.vault)

    async def _stop(self) -> None:
        self._ready = False
        servers = [*nats_processes(self.options), *STORES_AND_MAIL]
        groups = [["nginx"], edge_processes(self.options), list(service_processes(self.options)), servers]
        for group in groups:
            ending = (self.processes[name].stop() for name in group if name in self.processes)
            await asyncio.gather(*ending)

    # What others see of it.

    def state(self) -> StackState:
        rows = [
            ProcessState(
                name=process.name,
                state=process.state,
                address=process.program.address,
                origin=process.program.origin,
                pid=process.pid,
                created=process.created,
                restarts=process.restarts,
                since=process.since,
            )
            for process in self.processes.values()
        ]
        return StackState(
            pid=os.getpid(), created=self._created, ready=self._ready, urls=dict(self.urls()), processes=rows
        )

    def _note(self) -> None:
        with suppress(OSError):  # a full disk must not end the one who brings its servers back
            write_state(self.layout.state, self.state())
        self._changed()

    @contextmanager
    def _timed(self, what: str) -> "Iterator[None]":
        begun = time.monotonic()
        yield
        self.timings[what] = round(time.monotonic() - begun, 3)


async def _then(step: Coroutine[Any, Any, None], over: asyncio.Event) -> None:
    await step
    over.set()


async def together(*steps: Coroutine[Any, Any, None]) -> None:
    """Runs them at once; the first failure ends the others and is raised as itself, not as one of a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
