"""Cheap questions to a server that is starting."""

import asyncio
from contextlib import suppress

from infra.ops.devstack.free_ports import LOOPBACK

PATIENCE = 2.0


async def http_ok(port: int, path: str) -> bool:
    """Whether `GET path` is answered with 200. One plain exchange: these are asked fifty times a second."""
    request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\nUser-Agent: souk-stack\r\n\r\n".encode()
    status = await _exchange(port, request)
    return status.split(b" ", 2)[1:2] == [b"200"]


async def http_text(port: int, path: str) -> str:
    """The whole answer, whatever its status; empty when there is none."""
    request = f"GET {path} HTTP/1.0\r\nHost: {LOOPBACK}\r\nUser-Agent: souk-stack\r\n\r\n".encode()
    return (await _exchange(port, request, whole=True)).decode(errors="replace")


async def greets(port: int) -> bool:
    """Whether the server speaks first, as NATS and SMTP do."""
    return bool(await _exchange(port, b""))


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    await _close(writer)
    return True


async def _exchange(port: int, request: bytes, *, whole: bool = False) -> bytes:
    """The first line of the answer, or the whole; empty when there is none."""
    try:
        async with asyncio.timeout(PATIENCE):
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
