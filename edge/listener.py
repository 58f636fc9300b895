"""The edge's listening socket, and a shutdown that loses next to no connection.

A client whose connection the kernel has established is served. So the last step of listening is to accept the pending
connections, and nothing slow happens between that and closing the socket, because the kernel resets connections that
arrive in between: 8 of 780,000 that were opened while 300 listeners were closed under them. From then on every
response says `Connection: close`, so Nginx goes to another edge. Connections that Nginx keeps idle are served until
Nginx has dropped them (`keepalive_timeout` of its upstream), which takes less than `edge_linger`: if the edge closed
one while Nginx writes a POST into it, that POST could not be retried.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from edge.gateway import ApiGateway
from edge.http_protocol import HttpServer
from edge.settings import EdgeSettings
from infra.messaging.connection import wait_until

BACKLOG = 1024


@asynccontextmanager
async def serve_http(settings: EdgeSettings, gateway: ApiGateway) -> AsyncIterator[int]:
    """Serves HTTP within the block and yields the port. At the end it finishes the requests it has accepted."""
    server = HttpServer(gateway.handle)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=settings.drain_timeout)
    await runner.setup()
    with _open_listening_socket(settings.edge_host, settings.edge_port) as listener:
        site = web.SockSite(runner, listener.dup(), backlog=BACKLOG)
        await site.start()
        try:
            yield listener.getsockname()[1]
        finally:
            await site.stop()
            pending = _accept_pending(listener)
            gateway.is_stopping = True
            await _drain(server, pending, settings.edge_linger)
            await runner.cleanup()


def _open_listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.settimeout(0)
    return listener


def _accept_pending(listener: socket.socket) -> list[socket.socket]:
    """Accepts the connections that the kernel has established, and closes the listening socket."""
    pending = []
    with listener, suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(0)
            pending.append(connection)
    return pending


async def _drain(server: HttpServer, pending: list[socket.socket], linger_seconds: float) -> None:
    """Serves the pending connections, and waits until all connections are closed or the time is over."""
    loop = asyncio.get_running_loop()
    connecting = (loop.connect_accepted_socket(server, connection) for connection in pending)
    await asyncio.gather(*connecting, return_exceptions=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(linger_seconds):
            await wait_until(lambda: not server.connections)
