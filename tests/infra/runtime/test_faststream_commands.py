"""Each service is a FastStream application: `faststream run` starts it and `faststream docs gen` documents it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts.registry import EVENTS, HEALTH, OPERATIONS, SERVICES, SUBSCRIPTIONS
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.readiness_probes import http_ok
from infra.ops.devstack.stack import Stack
from tests.support.eventually import eventually
from tests.support.rpc import RpcCaller

FASTSTREAM = Path(sys.executable).with_name("faststream")
DOCUMENT_ALL = """
import sys
from faststream.__main__ import cli

folder, *services = sys.argv[1:]
for service in services:
    cli(["docs", "gen", f"services.{service}.app:app", "--out", f"{folder}/{service}.json"], standalone_mode=False)
"""
"""`faststream docs gen` for several applications."""


@asynccontextmanager
async def faststream_run(
    stack: Stack, service: str, **settings: str
) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """Runs one more replica of a service by `faststream run`, and yields its ops port and its process."""
    (program, *_) = [process.program for process in stack.find_processes(service)]
    with PortPicker() as ports:
        port = ports.reserve(0, "the ops port", "nothing")
        process = await asyncio.create_subprocess_exec(
            FASTSTREAM,
            "run",
            f"services.{service}.app:app",
            env={**program.env, "SOUK_OPS_PORT": str(port), **settings},
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            yield port, process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def handled_requests(port: int, subject: str) -> float:
    """Returns how many requests of an operation a process has handled, from its metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{port}/metrics") as response:
        families = list(text_string_to_metric_families(await response.text()))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "souk_rpc_duration_seconds_count" and sample.labels["operation"] == subject
    )


@pytest.mark.parametrize(
    ("service", "fast_path"), [*((service, "true") for service in SERVICES), ("order", "false"), ("cart", "false")]
)
async def test_faststream_run_starts_the_service(
    stack: Stack, operator: RpcCaller, service: str, fast_path: str
) -> None:
    """It gets ready, replies to requests beside the other replica, and stops with exit code 0."""
    async with faststream_run(stack, service, SOUK_FAST_PATH=fast_path) as (port, process):
        await eventually(lambda: http_ok(port, "/readyz"))

        async def is_answering() -> bool:
            health = await operator(HEALTH[service])
            assert set(health.stores.values()) == {"ok"}
            return await handled_requests(port, HEALTH[service].subject) > 0

        await eventually(is_answering)
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0
    events = [json.loads(line)["message"] for line in log.splitlines()]
    assert "ready" in events
    assert "Traceback" not in log.decode()


async def test_missing_settings_are_reported(stack: Stack) -> None:
    async with faststream_run(stack, "order", SOUK_DATABASE_URL="", SOUK_MAX_IN_FLIGHT="none") as (_, process):
        _, log = await process.communicate()
    assert process.returncode == 1
    assert "SOUK_MAX_IN_FLIGHT" in log.decode()


@pytest.fixture(scope="module")
async def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the document of each service. One process makes all, since most of its time goes into imports."""
    folder = tmp_path_factory.mktemp("asyncapi")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DOCUMENT_ALL, str(folder), *SERVICES), env={}, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    return folder


@pytest.mark.parametrize("service", SERVICES)
def test_faststream_docs_show_every_operation_and_event(service: str, documents: Path) -> None:
    """The documents need no settings and no server."""
    document: dict[str, Any] = json.loads((documents / f"{service}.json").read_text())
    payloads = {channel["address"]: payload_names(document, channel) for channel in document["channels"].values()}
    for operation in OPERATIONS:
        if operation.service == service:
            assert payloads[operation.subject] == {operation.request.__name__}, operation.subject
    published = [event for event in EVENTS if event.service == service]
    for event in (*published, *SUBSCRIPTIONS.get(service, ())):
        assert event.__name__ in payloads[event.subject_pattern()], event.subject_pattern()


def payload_names(document: dict[str, Any], channel: dict[str, Any]) -> set[str]:
    """Returns the names of the models that a channel carries."""
    names = set()
    for reference in channel["messages"].values():
        payload = document["components"]["messages"][unescape(reference["$ref"])]["payload"]
        for option in payload.get("oneOf", [payload]):
            names.add(unescape(option["$ref"]))
    return names


def unescape(reference: str) -> str:
    """Returns the last part of a JSON reference."""
    return unquote(reference.rpartition("/")[2])
