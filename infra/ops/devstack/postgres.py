"""The PostgreSQL server: durable defaults, one role and one database a service, nobody else let in."""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from infra.ops.devstack.data_dir import Layout
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.run_as_user import account, data_home, reachable
from infra.ops.devstack.secret_files import DATABASE, OPERATOR, POSTGRES_SUPERUSER, Vault
from infra.ops.devstack.server_binaries import Server, version_of
from infra.ops.devstack.state_file import until_gone
from infra.ops.devstack.supervised_process import Program, User, launched

SUPERUSER = "postgres"
BUILTIN_LOCALE_SINCE = (17, 0)
LONGEST_SOCKET_PATH = 80
PATIENCE = 20.0
CONFIG = """\
# Written by `souk up` at every start; what is not here is PostgreSQL's default, fsync and synchronous_commit among it.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 200
password_encryption = 'scram-sha-256'
shared_buffers = '256MB'
effective_cache_size = '1GB'
random_page_cost = 1.1
max_wal_size = '2GB'
wal_compression = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
log_min_duration_statement = '1s'
log_lock_waits = on
"""


class Postgres:
    """A server of ours in the data folder."""

    def __init__(self, server: Server, layout: Layout, vault: Vault, port: int) -> None:
        self._user = account()
        self._server = reachable(server, self._user)
        self._layout = layout
        self._vault = vault
        self._port = port
        self._home = data_home(layout, self._user)

    @property
    def folder(self) -> Path:
        return self._home / "data"

    async def install(self) -> None:
        """Makes the database cluster once, then writes its configuration."""
        if not (self.folder / "PG_VERSION").exists():
            await self._initdb()
        self._refuse_other_version()
        self._clear_stale_pid()
        sockets = self._home if len(str(self._home)) < LONGEST_SOCKET_PATH else ""
        config = self.folder / "postgresql.conf"
        config.write_text(CONFIG.format(host=LOOPBACK, port=self._port, sockets=sockets))
        _give(config, self._user)

    def program(self) -> Program:
        return Program(
            name="postgres",
            argv=(str(self._server.binary), "-D", str(self.folder)),
            ready=self._ready,
            log=self._layout.log("postgres"),
            address=f"{LOOPBACK}:{self._port}",
            origin=self._server.origin,
            cwd=self._home,
            user=self._user,
            stop_signal=signal.SIGINT,  # fast: ends the sessions, then a checkpoint
            stop_within=PATIENCE,
            ready_within=120.0,  # after a crash it replays what was committed
            left_behind=self._left_behind,
        )

    async def _ready(self) -> bool:
        """What the server itself tells `pg_ctl -w` in its pid file; a killed one's file still says it was ready."""
        with suppress(OSError, ValueError, IndexError):
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
            return lines[7].strip() == "ready" and psutil.pid_exists(int(lines[0]))
        return False

    def _left_behind(self) -> Iterator[psutil.Process]:
        """What a killed server left: sessions of their own, in which the last statement of each may go on for long."""
        folder = str(self.folder.resolve())
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "postgres" and process.cwd() == folder:
                    yield process

    async def _initdb(self) -> None:
        binary = self._server.binary.with_name("initdb")
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(self._vault.secret(OPERATOR, POSTGRES_SUPERUSER))
        _give(password, self._user)
        try:
            child = await asyncio.create_subprocess_exec(
                *launched(signal.SIGTERM, self._user),
                *(str(binary), "-D", str(self.folder), "-U", SUPERUSER, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions", *self._locale()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._home,
            )
            output, _ = await child.communicate()
        finally:
            password.unlink()
        if child.returncode:
            raise StackError("PostgreSQL could not make its data folder.", output.decode(errors="replace").splitlines())

    def _locale(self) -> tuple[str, ...]:
        if version_of(self._server.binary) >= BUILTIN_LOCALE_SINCE:
            return ("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")
        return ("--locale", "C.UTF-8")

    def _refuse_other_version(self) -> None:
        of_data, of_server = written_by(self._layout), version_of(self._server.binary)[0]
        if of_data != of_server:
            raise StackError(
                f"The data in {self._layout.data} is PostgreSQL {of_data}'s, but the one found is {of_server}: put "
                f"{of_data} on PATH, or start afresh with `souk down --purge`."
            )

    def _clear_stale_pid(self) -> None:
        """A pid file of a killed server, whose number may be another process's now, would keep it from starting."""
        path = self.folder / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if Path(process.cwd()) == self.folder.resolve():
                    process.send_signal(signal.SIGINT)
                    until_gone([process], PATIENCE)
            path.unlink(missing_ok=True)


def written_by(layout: Layout) -> int:
    """The major version of the server whose data is there; 0 when there is none."""
    with suppress(OSError, ValueError):
        return int((layout.postgres / "data" / "PG_VERSION").read_text())
    return 0


def _give(path: Path, user: User | None) -> None:
    path.chmod(0o600)
    if user:
        os.chown(path, user.uid, user.gid)


async def provision(superuser_dsn: str, vault: Vault, services: Sequence[str]) -> None:
    """A role and a database for each service, which only that role may enter. Repeating it changes nothing."""
    try:
        connection = await asyncpg.connect(superuser_dsn, timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        place = urlsplit(superuser_dsn)
        raise StackError(
            f"PostgreSQL at {place.hostname}:{place.port} refuses its superuser: {error}. Is SOUK_POSTGRES_URL right?"
        ) from None
    try:
        await _roles(connection, {f"souk_{name}": vault.secret(name, DATABASE) for name in services})
        await _databases(connection, [f"souk_{name}" for name in services])
    finally:
        await connection.close()


async def _roles(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> None:
    known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    async with connection.transaction():
        for role, password in passwords.items():
            verb = "ALTER" if role in known else "CREATE"
            await _run(connection, f"{verb} ROLE %I LOGIN PASSWORD %L", role, password)


async def _databases(connection: asyncpg.Connection, names: list[str]) -> None:
    known = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
    for name in names:
        if name not in known:
            await _run(connection, "CREATE DATABASE %1$I OWNER %1$I", name)
    async with connection.transaction():
        for name in ("postgres", "template1", *names):
            await _run(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", name)


async def _run(connection: asyncpg.Connection, statement: str, *values: str) -> None:
    """A statement that takes no parameters, quoted by the server itself."""
    holes = ", ".join(f"${n}::text" for n in range(2, len(values) + 2))
    await connection.execute(await connection.fetchval(f"SELECT format($1::text, {holes})", statement, *values))
