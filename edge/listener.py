"""The edge's listening socket, and how it is shut without losing anybody.

Who has connected is served. So the last act of listening is to take in whoever waits before the door, and between that
and closing it is nothing that takes time: the kernel would reset those who come in between. Then every answer says
`Connection: close`, and Nginx goes to another edge. Connections that it keeps idle are served until it has dropped
them, which it does sooner than `edge_linger` (`keepalive_timeout` of its upstream): one that is closed just as it
writes a POST into it is a POST that nobody may repeat.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from edge.gateway import ApiGateway
from edge.server import HttpServer
from edge.settings import EdgeSettings
from infra.messaging import connection as messaging

BACKLOG = 1024


@asynccontextmanager
async def serve_http(settings: EdgeSettings, gateway: ApiGateway) -> AsyncIterator[int]:
    """Serves inside; at the end finishes what it has begun. The port."""
    server = HttpServer(gateway.handle)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=settings.drain_timeout)
    await runner.setup()
    with _open_listening_socket(settings.edge_host, settings.edge_port) as door:
        site = web.SockSite(runner, door.dup(), backlog=BACKLOG)
        await site.start()
        try:
            yield door.getsockname()[1]
        finally:
            await site.stop()
            last = _accept_pending(door)
            gateway.is_stopping = True
            await _drain(server, last, settings.edge_linger)
            await runner.cleanup()


def _open_listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.create_server((host, port), family=family, backlog=BACKLOG)
    door.settimeout(0)
    return door


def _accept_pending(door: socket.socket) -> list[socket.socket]:
    """Those who wait before the door, which is closed behind them."""
    waiting = []
    with door, suppress(BlockingIOError):
        while True:
            waiting.append(door.accept()[0])
            waiting[-1].settimeout(0)
    return waiting


async def _drain(server: HttpServer, last: list[socket.socket], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.connect_accepted_socket(server, one) for one in last), return_exceptions=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await messaging.wait_until(lambda: not server.connections)
