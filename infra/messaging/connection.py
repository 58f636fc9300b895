"""Connections to NATS: they reconnect without limit, notice a frozen server, and report when they close for good."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nats.aio.client import Client

from infra.foundation.background import end_tasks
from infra.foundation.telemetry import Metrics, get_logger
from infra.messaging.nats_client import CANCEL_AGAIN_SECONDS, NatsClient

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_SECONDS = 60.0
RECONNECT_OPTIONS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.5,
    "ping_interval": 2,
    "max_outstanding_pings": 2,
    "connect_timeout": 2,
}
"""With these options a client leaves a frozen server, for another node or to reconnect, after 4 to 6 seconds."""

_EXPIRED_REPLY = re.compile(r"publish to \W*_inbox", re.IGNORECASE)
"""A restarted server has forgotten which replies it allowed; their callers have timed out, so the error is harmless."""

_STALE_DATABASE_CONNECTION = "connection has been released back to the pool"
"""asyncpg's error for work that a freeze interrupted: the pool has replaced the connection in the meantime."""

log = get_logger("souk.nats")


def server_urls(url: str) -> list[str]:
    """Returns the servers of a NATS address, which is one URL or several separated by commas."""
    return [part.strip() for part in url.split(",") if part.strip()]


@dataclass
class ConnectionMonitor:
    """Records the errors of a connection. Denied subjects are reported only here; they make the process not ready."""

    metrics: Metrics
    denied_subjects: list[str] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_error(self, error: Exception) -> None:
        """Counts and logs an error, without a traceback, and remembers denied subjects."""
        text = str(error)
        kind = _error_kind(error)
        self.metrics.nats_errors.labels(kind).inc()
        if kind == "stale_database_connection":
            log.warning("database connection replaced after a freeze")
            return
        if kind == "permission":
            self.denied_subjects.append(text)
        log.error("NATS error: %s", text or kind)

    async def on_disconnect(self) -> None:
        """Counts and logs that the connection is lost; nats-py reconnects."""
        self.metrics.nats_errors.labels("disconnect").inc()
        log.warning("NATS disconnected")

    async def on_reconnect(self) -> None:
        """Logs that the connection is back."""
        log.warning("NATS reconnected")

    async def on_close(self) -> None:
        """Reports that the connection is closed for good."""
        self.closed.set()

    def callbacks(self) -> dict[str, Any]:
        """Returns the callbacks as options of nats-py."""
        return {
            "error_cb": self.on_error,
            "disconnected_cb": self.on_disconnect,
            "reconnected_cb": self.on_reconnect,
            "closed_cb": self.on_close,
        }


def _error_kind(error: Exception) -> str:
    text = str(error)
    if "permissions violation" in text.lower():
        return "expired_reply" if _EXPIRED_REPLY.search(text) else "permission"
    return "stale_database_connection" if _STALE_DATABASE_CONNECTION in text else type(error).__name__


@asynccontextmanager
async def connect(
    url: str, user: str, password: str, monitor: ConnectionMonitor | None = None, **options: Any
) -> AsyncIterator[Client]:
    """Opens a plain nats-py connection, for the edge and for commands. `options` are those of nats-py."""
    callbacks = monitor.callbacks() if monitor else {}
    client = NatsClient()
    connecting = client.connect(
        server_urls(url),
        user=user,
        password=password,
        name=f"souk-{user}",
        inbox_prefix=f"_INBOX_{user}".encode(),
        **{**RECONNECT_OPTIONS, **callbacks, **options},
    )
    await finish_connecting(connecting)
    try:
        yield client
    finally:
        await client.close()


async def finish_connecting(connecting: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Runs an attempt to connect to its end. Raises `TimeoutError` after `CONNECT_TIMEOUT_SECONDS`.

    nats-py connects again and again, and may lose a cancellation while it does; `asyncio.wait_for` would then wait for
    ever.
    """
    task = asyncio.create_task(connecting)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            return await asyncio.shield(task)
    finally:
        await end_tasks([task], cancel_again_seconds=CANCEL_AGAIN_SECONDS)


async def wait_until(condition: Callable[[], bool], *, poll_seconds: float = 0.02) -> None:
    """Waits until a condition holds, checking it every `poll_seconds`."""
    while not condition():  # noqa: ASYNC110 - the condition has no event to wait for
        await asyncio.sleep(poll_seconds)
