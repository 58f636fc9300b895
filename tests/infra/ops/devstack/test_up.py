"""`souk up` and other commands as processes, as in two terminals."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.state_file import read_state, wait_until_gone
from tests.support.souk_command import run_in_process, run_souk

PORTS = ["HTTP", "NATS", "NATS_MONITOR", "NATS_ROUTE", "POSTGRES", "MONGO", "SMTP", "EDGE", "OPS"]
SOUK = [sys.executable, "-m", "infra.ops.cli.app"]


def own_settings(data: Path) -> dict[str, str]:
    """Returns the settings of a small shop of its own: free ports, NATS and the SMTP sink."""
    free = {f"SOUK_{name}_PORT": "0" for name in PORTS}
    return {**free, "SOUK_DATA": str(data), "SOUK_PARTS": '["nats", "mail"]', "SOUK_PREPARE": "false"}


@dataclass
class SoukCommands:
    """Runs `souk` on its own data folder, with NATS and the SMTP sink as the only parts."""

    data: Path
    running: list[Process] = field(default_factory=list)

    async def start(self, *command: str, **settings: str) -> Process:
        environment = {**os.environ, **own_settings(self.data), "COLUMNS": "200", **settings}
        process = await asyncio.create_subprocess_exec(*SOUK, *command, stdout=PIPE, stderr=STDOUT, env=environment)
        self.running.append(process)
        return process

    async def run(self, *command: str, **settings: str) -> tuple[int, str]:
        """Runs a command to its end: as a process, unless it only reads."""
        if command[0] in ("status", "logs"):
            return await run_souk(*command, **{**own_settings(self.data), "COLUMNS": "200", **settings})
        process = await self.start(*command, **settings)
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def up(self, *options: str) -> Process:
        process = await self.start("up", *options)
        await read_until(process, lambda line: line.startswith("Souk is ready"))
        return process

    def pids(self) -> list[int]:
        state = read_state(self.data / "run" / "state.json")
        return [one.pid for one in state.processes if one.pid] if state else []


async def read_until(process: Process, wanted: Callable[[str], bool]) -> str:
    """Returns all lines up to the wanted one."""
    assert process.stdout
    lines: list[str] = []
    async with asyncio.timeout(20):
        while not lines or not wanted(lines[-1]):
            line = await process.stdout.readline()
            assert line, f"it ended: {lines}"
            lines.append(line.decode())
    return "".join(lines)


@pytest.fixture
async def souk(tmp_path: Path) -> AsyncIterator[SoukCommands]:
    terminals = SoukCommands(tmp_path / "souk")
    yield terminals
    for process in terminals.running:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def test_another_terminal_can_inspect_and_stop_the_shop(souk: SoukCommands) -> None:
    up = await souk.up()
    code, status = await souk.run("status")
    assert code == 0
    for word in ("nats", "mail", "ready", "NATS monitoring", *map(str, souk.pids())):
        assert word in status
    code, second = await souk.run("up")
    assert code == 1
    assert f"(process {up.pid})" in second
    assert "souk down" in second
    code, logs = await souk.run("logs", "nats")
    assert code == 0
    assert "Server is ready" in logs

    servers = [psutil.Process(pid) for pid in souk.pids()]
    assert len(servers) == 2
    assert await souk.run("down") == (0, "Souk has stopped.\n")
    output, _ = await up.communicate()
    assert up.returncode == 0
    assert "Souk has stopped." in output.decode()
    assert not wait_until_gone(servers, 0)
    code, status = await souk.run("status")
    assert code == 1
    assert "Start it with `souk up`" in status


async def test_ctrl_c_stops_cleanly(souk: SoukCommands) -> None:
    up = await souk.up()
    servers = [psutil.Process(pid) for pid in souk.pids()]
    up.send_signal(signal.SIGINT)
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0
    assert not wait_until_gone(servers, 0)


async def test_ctrl_c_during_the_start_stops_cleanly(souk: SoukCommands) -> None:
    up = await souk.start("up")
    await read_until(up, lambda line: "starting" in line)
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0
    assert souk.pids() == []


async def test_leftovers_of_a_killed_supervisor_are_cleaned_up(souk: SoukCommands) -> None:
    up = await souk.up()
    servers = [psutil.Process(pid) for pid in souk.pids()]
    up.kill()
    await up.communicate()
    assert not wait_until_gone(servers, 10)
    again = await souk.start("up")
    output = await read_until(again, lambda line: line.startswith("Souk is ready"))
    assert f"(process {up.pid}) did not end by itself" in output


async def test_down_removes_the_data_only_with_purge(souk: SoukCommands) -> None:
    code, output = await souk.run("down")
    assert (code, souk.data.exists()) == (0, False)
    assert "does not run" in output
    await souk.up()
    await souk.run("down")
    assert souk.data.exists()
    code, output = await souk.run("down", "--purge")
    assert code == 0
    assert "Removed " in output
    assert not souk.data.exists()


async def test_a_port_in_use_is_reported_before_anything_starts(souk: SoukCommands) -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        code, output = await souk.run("up", "--nats-port", port)
    assert code == 1
    assert f"Port {port} for NATS is in use" in output
    assert "Traceback" not in output
    assert "starting" not in output


async def test_an_old_server_on_path_is_used_only_by_request_and_then_refused(
    souk: SoukCommands, tmp_path: Path
) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho 'nats-server: v2.9.15'\n")
    old.chmod(0o755)
    code, output = await souk.run("up", SOUK_SERVERS="path", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert code == 1
    assert f"{old}, which is on PATH, is version 2.9.15, but Souk needs NATS 2.12 or newer" in output
    assert "Traceback" not in output
    up = await souk.start("up", PATH=f"{tmp_path}:/usr/bin:/bin")
    await read_until(up, lambda line: line.startswith("Souk is ready"))


async def test_data_of_an_older_postgres_is_reported_before_anything_starts(souk: SoukCommands) -> None:
    cluster = open_data_dir(souk.data).postgres_dir / "data"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("15\n")
    code, output = await souk.run("up", SOUK_PARTS='["nats", "postgres"]')
    assert code == 1
    assert "PostgreSQL 15 has written the data" in output
    assert "start with SOUK_SERVERS=path" in output
    assert "starting" not in output
    assert (cluster / "PG_VERSION").read_text() == "15\n"


@pytest.mark.parametrize(
    ("command", "settings", "words"),
    [
        (["up"], {"SOUK_HTTP_PORT": "many"}, "SOUK_HTTP_PORT has an invalid value"),
        (["up"], {"SOUK_DATA": "/proc/souk"}, "is not usable"),
        (["logs", "nope"], {}, "There are no logs in"),
        (["mail"], {}, "No mail has been sent yet"),
        (["mail", "7"], {}, "There is no mail 7"),
    ],
)
def test_errors_are_printed_without_a_traceback(
    tmp_path: Path, command: list[str], settings: dict[str, str], words: str
) -> None:
    variables = {**own_settings(tmp_path / "souk"), "COLUMNS": "200", **settings}
    code, output = run_in_process(*command, variables=variables)
    assert code == 1
    assert words in output
    assert "Traceback" not in output
