"""How the load reaches the shop: through Nginx, on kept-alive connections that may break at any moment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.bench.load_generator import Connection

BASE = "/api/v1"
RESPONSE_TIMEOUT_SECONDS = 6.0
"""Seconds a client waits for an answer. After that it does not know."""


@dataclass(frozen=True, slots=True)
class LoadResponse:
    """Status and body, as they came."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The slug of a problem; empty when the answer is none of the shop's."""
        try:
            return str(self.json.get("code", ""))
        except (ValueError, AttributeError):
            return ""

    @property
    def is_ambiguous(self) -> bool:
        """Whether it tells nothing of what has happened, so that the same is asked for again."""
        return self.status >= 500 or self.status == 429 or self.code == "idempotency_in_progress"


class LoadConnection(Connection):
    """A connection that knows when it is over."""

    is_closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        super().connection_lost(exc)


class LoadHttpClient:
    """Takes a free connection, or opens one. One that broke, or kept a client waiting, is used no more."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port, self._name = place.hostname or "", place.port or 80, place.netloc
        self._free: list[LoadConnection] = []

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes = b"",
        *,
        token: str = "",
        key: str = "",
        media: str = "",
        timeout_seconds: float = RESPONSE_TIMEOUT_SECONDS,
    ) -> LoadResponse:
        """`path` is below `/api/v1`, or at the root when it begins with `//`.

        Raises OSError or TimeoutError when there is no answer; the request may have had its effect all the same.
        """
        said = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            said["Idempotency-Key"] = key
        if media:
            said["Content-Type"] = media
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        where = path[1:] if path.startswith("//") else BASE + path
        async with asyncio.timeout(timeout_seconds):
            line = await self._line()
            try:
                status, answer = await line.request(method, where, content, said)
            except BaseException:
                line.close()
                raise
        self._free.append(line)
        return LoadResponse(status, answer)

    async def _line(self) -> LoadConnection:
        while self._free:
            line = self._free.pop()
            if not line.is_closed:
                return line
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: LoadConnection(self._name), self._host, self._port)
        return made

    def close(self) -> None:
        for line in self._free:
            line.close()
        self._free.clear()
