"""The PostgreSQL server: durable defaults, and for each service a role with a database that no other role may enter."""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil

from infra.ops.devstack.child_environment import server_environment
from infra.ops.devstack.data_dir import DataDir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.run_as_user import accessible_server, postgres_home, postgres_user
from infra.ops.devstack.secret_files import DATABASE_PASSWORD, OPERATOR, POSTGRES_PASSWORD, SecretFiles
from infra.ops.devstack.server_binaries import WHEEL_POSTGRES_VERSION, ServerBinary, binary_version
from infra.ops.devstack.server_versions import require_version
from infra.ops.devstack.state_file import wait_until_gone
from infra.ops.devstack.supervised_process import OsUser, Program, launch_prefix

SUPERUSER = "postgres"
BUILTIN_LOCALE_SINCE = (17, 0, 0)
MAX_SOCKET_PATH_LENGTH = 80
STOP_TIMEOUT_SECONDS = 20.0
CONFIG = """\
# Written by `souk up` at every start. All other settings, such as fsync and synchronous_commit, keep their defaults.
# The last setting keeps values, which may be personal, out of the log.
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
log_error_verbosity = terse
"""


class PostgresServer:
    """A server that the stack runs, with its data in the data folder."""

    def __init__(self, server: ServerBinary, data_dir: DataDir, secrets: SecretFiles, port: int) -> None:
        self._user = postgres_user()
        self._server = accessible_server(server, self._user)
        self._data_dir = data_dir
        self._secrets = secrets
        self._port = port
        self._home = postgres_home(data_dir, self._user)

    @property
    def cluster_dir(self) -> Path:
        """PostgreSQL's data directory."""
        return self._home / "data"

    async def initialize(self) -> None:
        """Creates the database cluster if there is none, and writes its configuration."""
        if not (self.cluster_dir / "PG_VERSION").exists():
            await self._initdb()
        self._clear_stale_pid()
        sockets = self._home if len(str(self._home)) < MAX_SOCKET_PATH_LENGTH else ""
        config = self.cluster_dir / "postgresql.conf"
        config.write_text(CONFIG.format(host=LOOPBACK, port=self._port, sockets=sockets))
        _own(config, self._user)

    def program(self) -> Program:
        """Returns the program."""
        return Program(
            name="postgres",
            argv=(str(self._server.binary), "-D", str(self.cluster_dir)),
            is_ready=self._ready,
            log=self._data_dir.log_file("postgres"),
            address=f"{LOOPBACK}:{self._port}",
            origin=self._server.origin,
            cwd=self._home,
            user=self._user,
            stop_signal=signal.SIGINT,  # fast shutdown: ends the sessions, then writes a checkpoint
            stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
            ready_timeout_seconds=120.0,  # after a crash it replays its log first
            find_orphans=self._find_orphans,
        )

    async def _ready(self) -> bool:
        """Reads the pid file as `pg_ctl -w` does. A killed server's file still says `ready`, so its pid must exist."""
        with suppress(OSError, ValueError, IndexError):
            lines = (self.cluster_dir / "postmaster.pid").read_text().splitlines()
            return lines[7].strip() == "ready" and psutil.pid_exists(int(lines[0]))
        return False

    def _find_orphans(self) -> Iterator[psutil.Process]:
        """Finds the backends of a killed server. Each is a session of its own and may finish a long statement first."""
        folder = str(self.cluster_dir.resolve())
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "postgres" and process.cwd() == folder:
                    yield process

    async def _initdb(self) -> None:
        binary = self._server.binary.with_name("initdb")
        password = self._home / "password"
        password.touch(mode=0o600)
        password.write_text(self._secrets.get_or_create(OPERATOR, POSTGRES_PASSWORD))
        _own(password, self._user)
        try:
            child = await asyncio.create_subprocess_exec(
                *launch_prefix(signal.SIGTERM, self._user),
                *(str(binary), "-D", str(self.cluster_dir), "-U", SUPERUSER, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions", *self._locale()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=self._home,
                env=server_environment(),
            )
            output, _ = await child.communicate()
        finally:
            password.unlink()
        if child.returncode:
            raise StackError(
                f"PostgreSQL could not create its data folder {self.cluster_dir}; initdb printed the lines above.",
                output.decode(errors="replace").splitlines(),
            )

    def _locale(self) -> tuple[str, ...]:
        if binary_version(self._server.binary) >= BUILTIN_LOCALE_SINCE:
            return ("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8")
        return ("--locale", "C.UTF-8")

    def _clear_stale_pid(self) -> None:
        """Removes the pid file of a killed server, which prevents a start when another process has that pid now."""
        path = self.cluster_dir / "postmaster.pid"
        with suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().splitlines()[0])
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if Path(process.cwd()) == self.cluster_dir.resolve():
                    process.send_signal(signal.SIGINT)
                    wait_until_gone([process], STOP_TIMEOUT_SECONDS)
            path.unlink(missing_ok=True)


def data_version(data_dir: DataDir) -> int:
    """Returns the major version that has written the data, or 0 when there is none."""
    with suppress(OSError, ValueError):
        return int((data_dir.postgres_dir / "data" / "PG_VERSION").read_text())
    return 0


def check_data_version(server: ServerBinary, data_dir: DataDir) -> None:
    """Refuses data of another major version, which this server cannot read."""
    of_data, of_server = data_version(data_dir), binary_version(server.binary)[0]
    if of_data and of_data != of_server:
        raise StackError(
            f"PostgreSQL {of_data} has written the data in {data_dir.path}, and PostgreSQL {of_server} "
            f"({server.origin}) cannot read it. {_way_to_keep(of_data)} "
            "To start empty, run `souk down --purge` first. Or choose another folder with --data."
        )


def _way_to_keep(of_data: int) -> str:
    """Says how to start the server that has written the data."""
    if of_data == WHEEL_POSTGRES_VERSION:
        return "To keep the data, unset SOUK_SERVERS: the pinned wheel has that version."
    return f"To keep the data, put PostgreSQL {of_data} on PATH and start with SOUK_SERVERS=path."


def _own(path: Path, user: OsUser | None) -> None:
    path.chmod(0o600)
    if user:
        os.chown(path, user.uid, user.gid)


async def create_roles_and_databases(superuser_dsn: str, secrets: SecretFiles, services: Sequence[str]) -> None:
    """Creates a role and a database for each service. Only that role may connect to it. Safe to repeat."""
    try:
        connection = await asyncpg.connect(superuser_dsn, timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        parts = urlsplit(superuser_dsn)
        raise StackError(
            f"PostgreSQL at {parts.hostname}:{parts.port} refuses its superuser: {error}. Check SOUK_POSTGRES_URL."
        ) from None
    try:
        require_version(
            "postgres",
            connection.get_server_version()[:3],
            "The server of SOUK_POSTGRES_URL",
            "unset SOUK_POSTGRES_URL to run the pinned wheel",
        )
        await _create_roles(
            connection, {f"souk_{name}": secrets.get_or_create(name, DATABASE_PASSWORD) for name in services}
        )
        await _create_databases(connection, [f"souk_{name}" for name in services])
    finally:
        await connection.close()


async def _create_roles(connection: asyncpg.Connection, passwords: Mapping[str, str]) -> None:
    known = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    async with connection.transaction():
        for role, password in passwords.items():
            verb = "ALTER" if role in known else "CREATE"
            await _execute_format(connection, f"{verb} ROLE %I LOGIN PASSWORD %L", role, password)


async def _create_databases(connection: asyncpg.Connection, names: list[str]) -> None:
    known = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
    for name in names:
        if name not in known:
            await _execute_format(connection, "CREATE DATABASE %1$I OWNER %1$I", name)
    async with connection.transaction():
        for name in ("postgres", "template1", *names):
            await _execute_format(connection, "REVOKE ALL ON DATABASE %I FROM PUBLIC", name)


async def _execute_format(connection: asyncpg.Connection, statement: str, *values: str) -> None:
    """Executes a statement that accepts no parameters; the server quotes the values."""
    parameters = ", ".join(f"${n}::text" for n in range(2, len(values) + 2))
    await connection.execute(await connection.fetchval(f"SELECT format($1::text, {parameters})", statement, *values))
