"""Reads a response of server-sent events, event by event, as a browser does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tests.support.http import BASE, HttpClient

READ_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class ServerSentEvent:
    """One event. `id` is that of the last event that had one."""

    name: str
    id: str
    data: Any


class EventStreamClient:
    """An open stream. `last_event_id` and `retry` are what the server said last."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_event_id = ""
        self.retry = 0
        self.comments = 0

    async def next(self) -> ServerSentEvent | None:
        """Returns the next event; None at the end of the stream."""
        name, data = "", ""
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            while line := await self.response.content.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                match field:
                    case "event":
                        name = value
                    case "data":
                        data += value
                    case "id":
                        self.last_event_id = value
                    case "retry":
                        self.retry = int(value)
                    case "" if value:
                        self.comments += 1
                    case "" if data:
                        return ServerSentEvent(name, self.last_event_id, orjson.loads(data))
        return None

    async def take(self, count: int) -> list[str]:
        """Returns the names of the next events."""
        events = [await self.next() for _ in range(count)]
        return [event.name for event in events if event is not None]

    async def rest(self) -> list[str]:
        """Returns the names of all events until the end of the stream."""
        names = []
        while (event := await self.next()) is not None:
            names.append(event.name)
        return names


@asynccontextmanager
async def event_stream(http: HttpClient, path: str, **headers: str) -> AsyncIterator[EventStreamClient]:
    """Opens a stream below `/api/v1`, and cuts it off at the end of the block. Underscores in header names become
    hyphens.
    """
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if http.token:
        sent["Authorization"] = f"Bearer {http.token}"
    if http.order_token:
        sent["Order-Access"] = http.order_token
    async with http.session.get(http.url + BASE + path, headers=sent) as response:
        yield EventStreamClient(response)
        response.close()
