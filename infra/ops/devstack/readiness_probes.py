"""Cheap checks of whether a server that is starting answers yet."""

import asyncio
from contextlib import suppress

from infra.ops.devstack.free_ports import LOOPBACK

PROBE_TIMEOUT_SECONDS = 2.0


async def http_ok(port: int, path: str) -> bool:
    """Tells whether `GET path` returns 200. It writes HTTP by hand because it runs often while all processes start."""
    request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\nUser-Agent: souk-stack\r\n\r\n".encode()
    status = await _exchange(port, request)
    return status.split(b" ", 2)[1:2] == [b"200"]


async def http_get(port: int, path: str) -> str:
    """Returns the whole response, of any status, or an empty text when there is none."""
    request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\nUser-Agent: souk-stack\r\n\r\n".encode()
    return (await _exchange(port, request, whole=True)).decode(errors="replace")


async def sends_greeting(port: int) -> bool:
    """Tells whether the server sends the first line, as NATS and SMTP do."""
    return bool(await _exchange(port, b""))


async def accepts_connections(port: int) -> bool:
    """Tells whether a TCP connection to the port succeeds."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    await _close(writer)
    return True


async def _exchange(port: int, request: bytes, *, whole: bool = False) -> bytes:
    """Returns the first line of the response, or all of it; nothing when the server does not answer in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(request)
                return await reader.read() if whole else await reader.readline()
            finally:
                await _close(writer)
    except (OSError, ValueError):
        return b""


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
