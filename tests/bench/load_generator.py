"""An HTTP/1.1 load generator with little overhead: keep-alive connections with one request at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit


class Connection(asyncio.Protocol):
    """One connection. `request` returns status and body; responses need a Content-Length."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._buffer[:end]).lower()
        length = _content_length(head)
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        answer, self._answer = self._answer, None
        if not answer.done():
            answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server closed the connection"))

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        assert self._transport is not None
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method != "GET":
            lines += [f"Content-Length: {len(body)}"]
            lines += [] if headers and "Content-Type" in headers else ["Content-Type: application/json"]
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _content_length(head: bytes) -> int:
    at = head.find(b"content-length:")
    if at < 0:
        return 0
    return int(head[at + 15 : head.find(b"\r", at) if head.find(b"\r", at) > 0 else None])


async def connect(url: str) -> Connection:
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(place.netloc), place.hostname, place.port)
    return connection


@dataclass
class BenchResult:
    """The result of a run. Latencies are seconds, of successful steps only."""

    name: str
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    steps: int = 0
    """All steps, those of the warm-up too, since `cpu_seconds` covers them."""
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    """CPU that each process used, from the first step to the last; `load` is the load generator."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    def cpu_microseconds(self) -> dict[str, float]:
        """The CPU of one step by process."""
        return {name: used * 1e6 / self.steps for name, used in self.cpu_seconds.items()} if self.steps else {}

    def summary(self) -> dict[str, Any]:
        """The figures, for a file."""
        return {
            "name": self.name,
            "rate": self.rate,
            "p50_ms": self.percentile(0.5) * 1000,
            "p99_ms": self.percentile(0.99) * 1000,
            "errors": self.errors,
            "cpu_microseconds": self.cpu_microseconds(),
        }


Step = Callable[[Connection, int], Awaitable[bool]]
"""One unit of work on a connection, by a worker's number; returns whether it succeeded."""
ReadCpu = Callable[[], Mapping[str, float]]
"""CPU seconds so far by process."""


async def run(
    name: str,
    url: str,
    step: Step,
    *,
    workers: int,
    seconds: float,
    warm_up: float = 1.0,
    read_cpu: ReadCpu = dict,
    settle: Callable[[], Awaitable[None]] | None = None,
) -> BenchResult:
    """Repeats `step` in `workers` connections for `seconds`; the warm-up is not counted.

    `settle` waits until the work that the steps have left behind is done, so that its CPU is counted too.
    """
    result = BenchResult(name)
    cpu_before = read_cpu()
    begin = time.perf_counter() + warm_up
    end = begin + seconds

    async def worker(number: int) -> None:
        connection = await connect(url)
        try:
            while (started := time.perf_counter()) < end:
                good = await step(connection, number)
                result.steps += 1
                if started < begin:
                    continue
                if good:
                    result.latencies.append(time.perf_counter() - started)
                else:
                    result.errors += 1
        finally:
            connection.close()

    await asyncio.gather(*(worker(number) for number in range(workers)))
    result.seconds = time.perf_counter() - begin
    if settle is not None:
        await settle()
    result.cpu_seconds = {key: now - cpu_before.get(key, 0.0) for key, now in read_cpu().items()}
    return result
