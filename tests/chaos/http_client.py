"""The HTTP client of the load: keep-alive connections through Nginx that may break at any time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.bench.load_generator import Connection

BASE = "/api/v1"
RESPONSE_TIMEOUT_SECONDS = 6.0
"""How long a client waits for a response; after that the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class LoadResponse:
    """A response's status and body."""

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
        """The `code` of a problem response; empty for other bodies."""
        try:
            return str(self.json.get("code", ""))
        except (ValueError, AttributeError):
            return ""

    @property
    def is_ambiguous(self) -> bool:
        """Whether the response does not tell if the request had its effect, so the client repeats it."""
        return self.status >= 500 or self.status == 429 or self.code == "idempotency_in_progress"


class LoadConnection(Connection):
    """A connection that knows whether it is closed."""

    is_closed = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        super().connection_lost(exc)


class LoadHttpClient:
    """Uses an idle connection or opens one; a connection that broke or timed out is not used again."""

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
        """`path` is below `/api/v1`, or from the root if it begins with `//`.

        Raises OSError or TimeoutError without a response; the request may still have had its effect.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if key:
            headers["Idempotency-Key"] = key
        if media:
            headers["Content-Type"] = media
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        where = path[1:] if path.startswith("//") else BASE + path
        async with asyncio.timeout(timeout_seconds):
            line = await self._connection()
            try:
                status, response = await line.request(method, where, content, headers)
            except BaseException:
                line.close()
                raise
        self._free.append(line)
        return LoadResponse(status, response)

    async def _connection(self) -> LoadConnection:
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
