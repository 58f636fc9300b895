"""How the load reaches the shop: through Nginx, on kept-alive connections that may break at any moment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.bench.load_generator import Connection

BASE = "/api/v1"
PATIENCE = 6.0
"""Seconds a client waits for an answer. After that it does not know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body, as they came."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The slug of a problem; empty when the answer is none of the shop's."""
        try:
            return str(self.json.get("code", ""))
        except (ValueError, AttributeError):
            return ""

    @property
    def doubtful(self) -> bool:
        """Whether it tells nothing of what has happened, so that the same is asked for again."""
        return self.status >= 500 or self.status == 429 or self.code == "idempotency_in_progress"


class Line(Connection):
    """A connection that knows when it is over."""

    over = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        super().connection_lost(exc)


class Wire:
    """Takes a free connection, or opens one. One that broke, or kept a client waiting, is used no more."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port, self._name = place.hostname or "", place.port or 80, place.netloc
        self._free: list[Line] = []

    async def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes = b"",
        *,
        token: str = "",
        key: str = "",
        media: str = "",
        patience: float = PATIENCE,
    ) -> Answer:
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
        async with asyncio.timeout(patience):
            line = await self._line()
            try:
                status, answer = await line.request(method, where, content, said)
            except BaseException:
                line.close()
                raise
        self._free.append(line)
        return Answer(status, answer)

    async def _line(self) -> Line:
        while self._free:
            line = self._free.pop()
            if not line.over:
                return line
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: Line(self._name), self._host, self._port)
        return made

    def close(self) -> None:
        for line in self._free:
            line.close()
        self._free.clear()
