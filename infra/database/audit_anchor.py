"""The audit anchor publishes the end of each audit log's hash chain to a stream outside the database.

A user with write access to the database can cut the end off a chain, or rebuild a chain that is consistent in itself.
What was published before stays in the stream `TRAIL`: nothing is deleted from it, and only the service adds to it.
`souk verify` compares every published end with the chain. About one second of entries is not published yet.
"""

from typing import Any

import asyncpg
from nats.aio.client import Client

from contracts import headers
from infra.foundation.background import MinInterval, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.foundation.telemetry import get_logger
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM

POLL_SECONDS = 5.0
"""Interval of the search for entries of a process that died before it published them."""
MIN_INTERVAL_SECONDS = 1.0
ACK_TIMEOUT_SECONDS = 3.0
ACQUIRE_TIMEOUT_SECONDS = 3.0

_END = "SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1"

log = get_logger("souk.audit")


class AuditAnchor:
    """Publishes the end of a service's chain. Every process of the service does; JetStream drops duplicates."""

    def __init__(self, service: str, pool: "asyncpg.Pool[Any]", client: Client) -> None:
        self.service = service
        self.pool = pool
        self.name = "audit anchor"
        self._js = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)
        self._min_interval = MinInterval(MIN_INTERVAL_SECONDS)
        self._published_seq = 0
        self._task = PeriodicTask(self.name, self._publish, interval_seconds=POLL_SECONDS)

    def wake(self) -> None:
        """Publishes soon. Call it after a commit that appended entries."""
        self._task.wake()

    async def run(self) -> None:
        """Publishes until it is cancelled."""
        await self._task.run()

    async def _publish(self) -> bool:
        await self._min_interval.wait()
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            end = await connection.fetchrow(_END)
        seq, digest = (end["seq"], end["hash"].hex()) if end else (0, "")
        if seq < self._published_seq:
            log.error("audit log shorter than published", published=self._published_seq, found=seq)
        elif seq > self._published_seq:
            failpoint("audit_anchor.read")
            carried = {headers.AUDIT_SEQ: str(seq), headers.AUDIT_HASH: digest}
            carried[headers.MESSAGE_ID] = f"{self.service}.{seq}.{digest}"
            await self._js.publish(
                AUDIT_ANCHOR_STREAM.subject_for(self.service), b"", stream=AUDIT_ANCHOR_STREAM.name, headers=carried
            )
            self._published_seq = seq
        return False
