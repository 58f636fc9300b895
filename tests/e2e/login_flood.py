"""Load for the login flood: attackers with wrong passwords, and signed-in users who keep working."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

from tests.bench.load_generator import Connection, connect

INTERVAL_SECONDS = 0.01
"""Between two requests of the signed-in users."""
RETRY_SECONDS = 1.0
"""Until an attacker whose request was shed tries again."""


@dataclass
class SignedInUsers:
    """Sends requests of signed-in users at a steady rate, however long the responses take."""

    url: str
    token: str
    durations: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    free: list[Connection] = field(default_factory=list)

    async def send_requests(self, seconds: float) -> None:
        """Sends requests for so many seconds. A duration starts when the request was due, not when it was sent."""
        self.durations.clear()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds / INTERVAL_SECONDS)):
                due = started + number * INTERVAL_SECONDS
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._send_request(number, due))

    async def _send_request(self, number: int, due: float) -> None:
        name = orjson.dumps({"first_name": "Ada", "last_name": f"the {number}th"})
        method, path, body = (
            ("GET", "/users/profile", b""),
            ("GET", "/products?limit=20", b""),
            ("PUT", "/users/profile", name),
        )[number % 3]
        connection = self.free.pop() if self.free else await connect(self.url)
        headers = {"Authorization": f"Bearer {self.token}"}
        status, _ = await connection.request(method, f"/api/v1{path}", body, headers)
        self.free.append(connection)
        self.durations.append(time.perf_counter() - due)
        self.statuses[status] += 1

    def percentile(self, share: float) -> float:
        """The duration in seconds that this share of the requests stayed below."""
        return sorted(self.durations)[int(len(self.durations) * share)]

    def __str__(self) -> str:
        return ", ".join(f"p{share} {self.percentile(share / 100) * 1000:.1f} ms" for share in (50, 99))


async def attack(url: str, email: str, statuses: Counter[int]) -> None:
    """Tries one wrong password after another, and waits after a response other than 401."""
    connection = await connect(url)
    body = orjson.dumps({"email": email, "password": "a wrong guess"})
    try:
        while True:
            status, _ = await connection.request("POST", "/api/v1/auth/login", body)
            statuses[status] += 1
            if status != 401:
                await asyncio.sleep(RETRY_SECONDS)
    finally:
        connection.close()
