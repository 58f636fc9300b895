"""An edge in the test process over a real NATS server, with stub services behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from edge.app import serve_edge
from edge.settings import EdgeSettings
from infra.foundation.telemetry import Metrics
from infra.messaging.connection import ConnectionMonitor, connect
from infra.ops.devstack.stack import Stack
from infra.ops.devstack.stack_settings import StackSettings
from tests.conftest import FREE_PORTS
from tests.edge.token_signing import TokenSigner
from tests.support.http import HttpClient

StubReply = tuple[bytes, dict[str, str]]
StubResponder = Callable[[Msg], StubReply | None]


@dataclass
class StubServices:
    """The services behind the edge: the requests they received, and their responders by subject."""

    client: Client
    signer: TokenSigner
    requests: list[Msg] = field(default_factory=list)
    responders: dict[str, StubResponder] = field(default_factory=dict)

    async def subscribe(self) -> None:
        """Starts to receive the requests to every service but payment and notification."""
        await self.client.subscribe("rpc.user.*", cb=self._receive)
        await self.client.subscribe("rpc.catalog.*", cb=self._receive)
        await self.client.subscribe("rpc.cart.*", cb=self._receive)
        await self.client.subscribe("rpc.order.*", cb=self._receive)

    async def _receive(self, message: Msg) -> None:
        if message.subject == "rpc.user.jwks":
            await message.respond(self.signer.jwks().model_dump_json().encode())
            return
        self.requests.append(message)
        reply = self.responders.get(message.subject, lambda _: (b'{"id":"7"}', {}))(message)
        if reply is not None:
            body, headers = reply
            await self.client.publish(message.reply, body, headers=headers or None)

    def respond(self, subject: str, body: bytes = b'{"id":"7"}', **headers: str) -> None:
        """Sets the reply to a subject. Underscores in header names become hyphens."""
        reply_headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.responders[f"rpc.{subject}"] = lambda _: (body, reply_headers)

    @property
    def last_request(self) -> Msg:
        return self.requests[-1]


@pytest.fixture(scope="session")
async def edge_nats(data_folder: Path) -> AsyncIterator[Stack]:
    """A provisioned NATS server, without the other servers."""
    settings = StackSettings(
        _env_file=None, data=data_folder / "edge", parts=frozenset({"nats"}), services=(), **FREE_PORTS
    )
    async with Stack(settings).running() as stack:
        yield stack


@pytest.fixture(scope="session")
def signer() -> TokenSigner:
    return TokenSigner()


@pytest.fixture
async def services(edge_nats: Stack, signer: TokenSigner) -> AsyncIterator[StubServices]:
    connecting = connect(edge_nats.nats_url, "operator", edge_nats.nats_password("operator"))
    async with connecting as client:
        stubs = StubServices(client, signer)
        await stubs.subscribe()
        await client.flush()
        yield stubs


@dataclass
class RunningEdge:
    """An edge that serves requests."""

    http: HttpClient
    monitor: ConnectionMonitor
    port: int


class OpenEdge(Protocol):
    """Starts an edge with the settings that the test changes."""

    async def __call__(self, **changed: Any) -> RunningEdge: ...


@pytest.fixture
async def open_edge(edge_nats: Stack) -> AsyncIterator[OpenEdge]:
    """Starts edges, and stops them after the test."""
    async with AsyncExitStack() as stack:

        async def start(**changed: Any) -> RunningEdge:
            settings = EdgeSettings(
                _env_file=None,
                nats_url=edge_nats.nats_url,
                nats_password=edge_nats.nats_password("edge"),
                edge_port=0,
                **{"edge_trusted_proxies": "127.0.0.0/8", **changed},  # each test chooses its client's address
            )
            monitor = ConnectionMonitor(Metrics())
            port = await stack.enter_async_context(serve_edge(settings, monitor))
            jar = aiohttp.DummyCookieJar()
            session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
            return RunningEdge(HttpClient(session, f"http://127.0.0.1:{port}"), monitor, port)

        yield start


@pytest.fixture
async def edge(open_edge: OpenEdge, services: StubServices) -> HttpClient:
    """A client of an edge with default settings."""
    return (await open_edge()).http
