"""The edge itself in this process, over a real NATS, with services of the test's own behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.telemetry import Metrics
from infra.messaging import connection as messaging
from infra.messaging.connection import ConnectionMonitor
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import Options
from tests.conftest import FREE_PORTS
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient

StubReply = tuple[bytes, dict[str, str]]
StubResponder = Callable[[Msg], StubReply | None]


@dataclass
class StubServices:
    """The services behind the edge: what they were asked, and what they answer, by subject."""

    client: Client
    signer: TokenSigner
    requests: list[Msg] = field(default_factory=list)
    responders: dict[str, StubResponder] = field(default_factory=dict)

    async def subscribe(self) -> None:
        await self.client.subscribe("rpc.user.*", cb=self._receive)
        await self.client.subscribe("rpc.catalog.*", cb=self._receive)
        await self.client.subscribe("rpc.cart.*", cb=self._receive)
        await self.client.subscribe("rpc.order.*", cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        if message.subject == "rpc.user.jwks":
            await message.respond(self.signer.jwks().model_dump_json().encode())
            return
        self.requests.append(message)
        answer = self.responders.get(message.subject, lambda _: (b'{"id":"7"}', {}))(message)
        if answer is not None:
            await self.client.publish(message.reply, answer[0], headers=answer[1] or None)

    def respond(self, subject: str, body: bytes = b'{"id":"7"}', **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.responders[f"rpc.{subject}"] = lambda _: (body, named)

    @property
    def last_request(self) -> Msg:
        return self.requests[-1]


@pytest.fixture(scope="session")
async def edge_nats(data_folder: Path) -> AsyncIterator[Stack]:
    """NATS alone, provisioned."""
    options = Options(_env_file=None, data=data_folder / "edge", parts=frozenset({"nats"}), services=(), **FREE_PORTS)
    async with Stack(options).running() as stack:
        yield stack


@pytest.fixture(scope="session")
def signer() -> TokenSigner:
    return TokenSigner()


@pytest.fixture
async def backs(edge_nats: Stack, signer: TokenSigner) -> AsyncIterator[StubServices]:
    connecting = messaging.connect(edge_nats.nats_url, "operator", edge_nats.password("operator"))
    async with connecting as client:
        found = StubServices(client, signer)
        await found.subscribe()
        await client.flush()
        yield found


@dataclass
class RunningEdge:
    """An edge at work."""

    http: HttpClient
    monitor: ConnectionMonitor
    port: int


@pytest.fixture
async def open_edge(edge_nats: Stack) -> AsyncIterator[Callable[..., Any]]:
    """Opens an edge with settings as a test says."""
    async with AsyncExitStack() as stack:

        async def opened(**changed: Any) -> RunningEdge:
            settings = EdgeSettings(
                _env_file=None,
                nats_url=edge_nats.nats_url,
                nats_password=edge_nats.password("edge"),
                edge_port=0,
                **changed,
            )
            watch = ConnectionMonitor(Metrics())
            port = await stack.enter_async_context(serve_edge(settings, watch))
            jar = aiohttp.DummyCookieJar()
            session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
            return RunningEdge(HttpClient(session, f"http://127.0.0.1:{port}"), watch, port)

        yield opened


@pytest.fixture
async def edge(open_edge: Callable[..., Any], backs: StubServices) -> HttpClient:
    opened: RunningEdge = await open_edge()
    return opened.http
