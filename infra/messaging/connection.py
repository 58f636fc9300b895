"""The one place that connects to NATS: reconnect for ever, notice a frozen server, end when there is no way on."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import nats
from faststream.nats import NatsBroker
from faststream.security import SASLPlaintext
from nats.aio.client import Client

from infra.foundation.settings import Settings
from infra.foundation.telemetry import Metrics

CONNECT_TIMEOUT_SECONDS = 60.0
# A frozen server is left for another node, or for itself, after 4 to 6 seconds.
_RECONNECT_OPTIONS: dict[str, Any] = {
    "max_reconnect_attempts": -1,
    "reconnect_time_wait": 0.5,
    "ping_interval": 2,
    "max_outstanding_pings": 2,
    "connect_timeout": 2,
}

_EXPIRED_REPLY = re.compile(r"publish to \W*_inbox", re.IGNORECASE)
"""A server that was restarted does not know what it has allowed us to answer: nobody waits there any more."""

log = logging.getLogger("souk.nats")


def server_urls(url: str) -> list[str]:
    """The nodes of a NATS address: one, or several with commas between."""
    return [part.strip() for part in url.split(",") if part.strip()]


@dataclass
class ConnectionMonitor:
    """What a connection has complained of. A denied subject is heard of only here, and makes the process not ready."""

    metrics: Metrics
    denied_subjects: list[str] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def on_error(self, error: Exception) -> None:
        text = str(error)
        kind = "permission" if "permissions violation" in text.lower() else type(error).__name__
        if kind == "permission" and _EXPIRED_REPLY.search(text):
            kind = "late reply"
        self.metrics.nats_errors.labels(kind).inc()
        if kind == "permission":
            self.denied_subjects.append(text)
        log.error("NATS: %s", text or kind)

    async def on_disconnect(self) -> None:
        self.metrics.nats_errors.labels("disconnect").inc()
        log.warning("NATS is away")

    async def on_reconnect(self) -> None:
        log.warning("NATS is back")

    async def on_close(self) -> None:
        self.closed.set()

    def callbacks(self) -> dict[str, Any]:
        return {
            "error_cb": self.on_error,
            "disconnected_cb": self.on_disconnect,
            "reconnected_cb": self.on_reconnect,
            "closed_cb": self.on_close,
        }


def build_broker(settings: Settings, service: str, monitor: ConnectionMonitor) -> NatsBroker:
    """A service's FastStream broker: no access log, no injection, its own inbox prefix."""
    return NatsBroker(
        server_urls(settings.nats_url),
        name=f"souk-{service}",
        security=SASLPlaintext(username=service, password=settings.nats_password.get_secret_value()),
        inbox_prefix=f"_INBOX_{service}",
        apply_types=False,
        logger=None,
        graceful_timeout=settings.drain_timeout,
        **_RECONNECT_OPTIONS,
        **monitor.callbacks(),
    )


@asynccontextmanager
async def connect(
    url: str, user: str, password: str, monitor: ConnectionMonitor | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A plain connection, for the edge and for people's commands. `options` are nats-py's own."""
    callbacks = monitor.callbacks() if monitor else {}
    connecting = nats.connect(
        server_urls(url),
        user=user,
        password=password,
        name=f"souk-{user}",
        inbox_prefix=f"_INBOX_{user}".encode(),
        **{**_RECONNECT_OPTIONS, **callbacks, **options},
    )
    client = await asyncio.wait_for(connecting, CONNECT_TIMEOUT_SECONDS)
    try:
        yield client
    finally:
        await client.close()


async def wait_until(condition: Callable[[], bool], *, poll_seconds: float = 0.02) -> None:
    """Waits while the loop goes on, looking every `every` seconds."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
        await asyncio.sleep(poll_seconds)
