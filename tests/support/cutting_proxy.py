"""A TCP proxy that cuts a connection after the server has done its work and before the client hears of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65_536


async def _nothing() -> None:
    pass


class CuttingProxy:
    """Forwards connections to a server on this machine; `cut_reply_to` makes it cut one of them."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.cuts = 0
        """How many connections were cut."""
        self.connections: set[asyncio.Task[None] | None] = set()
        self._server_port = server_port
        self._marker: bytes | None = None
        self._before_cut: Callable[[], Awaitable[None]] = _nothing

    def cut_reply_to(self, marker: bytes, before_cut: Callable[[], Awaitable[None]] = _nothing) -> None:
        """Cuts the connection instead of passing on the reply to the next request that contains `marker`.

        `before_cut` runs in between: the server has replied, the client has not got the reply.
        """
        self._marker, self._before_cut = marker, before_cut

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self.connections.add(asyncio.current_task())
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        is_cut = asyncio.Event()
        copies = [
            asyncio.create_task(self._copy_requests(client, to_server, is_cut)),
            asyncio.create_task(self._copy_replies(server, to_client, is_cut)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            for writer in (to_client, to_server):
                writer.transport.abort()

    async def _copy_requests(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await client.read(_CHUNK_BYTES):
                if self._marker is not None and self._marker in data:
                    self._marker = None
                    is_cut.set()
                to_server.write(data)
                await to_server.drain()

    async def _copy_replies(
        self, server: asyncio.StreamReader, to_client: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await server.read(_CHUNK_BYTES):
                if is_cut.is_set():
                    await self._before_cut()
                    self.cuts += 1
                    return
                to_client.write(data)
                await to_client.drain()


@asynccontextmanager
async def cutting_proxy(server_port: int) -> AsyncIterator[CuttingProxy]:
    """Opens a proxy on a free port."""
    proxy = CuttingProxy(server_port)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await asyncio.gather(*filter(None, proxy.connections))
