"""Who signs in with wrong passwords without end, and who goes on beside them with what they do."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from tests.bench.load_generator import Connection, connect

INTERVAL_SECONDS = 0.01
"""Seconds between two requests of those who are signed in."""
RETRY_SECONDS = 1.0
"""Seconds until an attacker who is refused comes again."""


@dataclass
class SignedInUsers:
    """Those who are signed in and go on with what they do, at a steady pace whatever becomes of them."""

    url: str
    token: str
    durations: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    free: list[Connection] = field(default_factory=list)

    async def send_requests(self, seconds: float) -> None:
        """How long each takes counts from when it was due."""
        self.durations.clear()
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds / INTERVAL_SECONDS)):
                due = begun + number * INTERVAL_SECONDS
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._one(number, due))

    async def _one(self, number: int, due: float) -> None:
        name = orjson.dumps({"first_name": "Ada", "last_name": f"the {number}th"})
        method, path, body = (
            ("GET", "/users/profile", b""),
            ("GET", "/products?limit=20", b""),
            ("PUT", "/users/profile", name),
        )[number % 3]
        connection = self.free.pop() if self.free else await connect(self.url)
        said = {"Authorization": f"Bearer {self.token}"}
        status, _ = await connection.request(method, f"/api/v1{path}", body, said)
        self.free.append(connection)
        self.durations.append(time.perf_counter() - due)
        self.statuses[status] += 1

    def percentile(self, share: float) -> float:
        return sorted(self.durations)[int(len(self.durations) * share)]

    def __str__(self) -> str:
        return ", ".join(f"p{share} {self.percentile(share / 100) * 1000:.1f} ms" for share in (50, 99))


async def attack(url: str, email: str, found: Counter[int]) -> None:
    """One wrong password after the other; who is told to come again later does."""
    connection = await connect(url)
    body = orjson.dumps({"email": email, "password": "a wrong guess"})
    try:
        while True:
            status, _ = await connection.request("POST", "/api/v1/auth/login", body)
            found[status] += 1
            if status != 401:
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        connection.close()
