"""`souk up` and its companions as a person runs them: processes of their own, two terminals."""

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

from infra.ops.devstack.free_ports import LOOPBACK
from infra.ops.devstack.state_file import read_state, until_gone

PORTS = ["HTTP", "NATS", "NATS_MONITOR", "NATS_ROUTE", "POSTGRES", "MONGO", "SMTP", "EDGE", "OPS"]
SOUK = [sys.executable, "-m", "infra.ops.cli.app"]


@dataclass
class Terminals:
    """Runs `souk` with a data folder of its own, and nothing but NATS and the mail sink to start."""

    data: Path
    running: list[Process] = field(default_factory=list)

    async def start(self, *command: str, **settings: str) -> Process:
        free = {f"SOUK_{name}_PORT": "0" for name in PORTS}
        own = {"SOUK_DATA": str(self.data), "SOUK_PARTS": '["nats", "mail"]', "SOUK_PREPARE": "false", "COLUMNS": "200"}
        environment = {**os.environ, **free, **own, **settings}
        process = await asyncio.create_subprocess_exec(*SOUK, *command, stdout=PIPE, stderr=STDOUT, env=environment)
        self.running.append(process)
        return process

    async def run(self, *command: str, **settings: str) -> tuple[int, str]:
        process = await self.start(*command, **settings)
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def up(self, *options: str) -> Process:
        process = await self.start("up", *options)
        await said(process, lambda line: line.startswith("Souk is ready"))
        return process

    def pids(self) -> list[int]:
        state = read_state(self.data / "run" / "state.json")
        return [one.pid for one in state.processes if one.pid] if state else []


async def said(process: Process, wanted: Callable[[str], bool]) -> str:
    """All lines until the one that is waited for."""
    assert process.stdout
    lines: list[str] = []
    async with asyncio.timeout(20):
        while not lines or not wanted(lines[-1]):
            line = await process.stdout.readline()
            assert line, f"it ended: {lines}"
            lines.append(line.decode())
    return "".join(lines)


@pytest.fixture
async def souk(tmp_path: Path) -> AsyncIterator[Terminals]:
    terminals = Terminals(tmp_path / "souk")
    yield terminals
    for process in terminals.running:
        if process.returncode is None:
            process.terminate()
            await process.communicate()


async def test_up_tells_what_runs_and_another_terminal_sees_and_stops_it(souk: Terminals) -> None:
    up = await souk.up()
    code, status = await souk.run("status")
    assert code == 0
    for word in ("nats", "mail", "ready", "NATS monitoring", *map(str, souk.pids())):
        assert word in status
    code, second = await souk.run("up")
    assert code == 1
    assert f"already (process {up.pid})" in second
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
    assert not until_gone(servers, 0)
    code, status = await souk.run("status")
    assert code == 1
    assert "Start it with `souk up`" in status


async def test_ctrl_c_ends_it_cleanly(souk: Terminals) -> None:
    up = await souk.up()
    servers = [psutil.Process(pid) for pid in souk.pids()]
    up.send_signal(signal.SIGINT)
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0
    assert not until_gone(servers, 0)


async def test_ctrl_c_while_it_starts_ends_it_cleanly(souk: Terminals) -> None:
    up = await souk.start("up")
    await said(up, lambda line: "starting" in line)
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0
    assert souk.pids() == []


async def test_a_killed_souk_leaves_nothing_and_the_next_one_says_so(souk: Terminals) -> None:
    up = await souk.up()
    servers = [psutil.Process(pid) for pid in souk.pids()]
    up.kill()
    await up.communicate()
    assert not until_gone(servers, 10)
    again = await souk.start("up")
    told = await said(again, lambda line: line.startswith("Souk is ready"))
    assert f"(process {up.pid}) did not end by itself" in told


async def test_down_removes_the_data_only_when_told(souk: Terminals) -> None:
    code, told = await souk.run("down")
    assert (code, souk.data.exists()) == (0, False)
    assert "does not run" in told
    await souk.up()
    await souk.run("down")
    assert souk.data.exists()
    code, told = await souk.run("down", "--purge")
    assert code == 0
    assert "is removed" in told
    assert not souk.data.exists()


async def test_a_taken_port_is_told_before_anything_starts(souk: Terminals) -> None:
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        code, told = await souk.run("up", "--nats-port", port)
    assert code == 1
    assert f"Port {port}, which NATS needs, is taken" in told
    assert "Traceback" not in told
    assert "starting" not in told


@pytest.mark.parametrize(
    ("command", "settings", "words"),
    [
        (["up"], {"SOUK_HTTP_PORT": "many"}, "SOUK_HTTP_PORT makes no sense"),
        (["up"], {"SOUK_DATA": "/proc/souk"}, "cannot be used"),
        (["logs", "nope"], {}, "There is no log of nope here"),
        (["mail"], {}, "No mail has been sent yet"),
        (["mail", "7"], {}, "There is no mail 7"),
    ],
)
async def test_bad_luck_is_told_in_plain_words(
    souk: Terminals, command: list[str], settings: dict[str, str], words: str
) -> None:
    code, told = await souk.run(*command, **settings)
    assert code == 1
    assert words in told
    assert "Traceback" not in told
