"""Where each chain of the audit trail ends, posted to a stream that the database's owner cannot reach.

Who can write to a database can cut the end off a chain, or make a chain anew that is sound in itself. What was posted
before stays in the stream `TRAIL`, which nothing is deleted from and nobody but the service adds to; an audit holds
every entry that was posted against the chain. What is not posted yet is a second's worth of acts.
"""

import logging
from typing import Any

import asyncpg
from nats.aio.client import Client

from contracts import headers
from infra.foundation.background import MinInterval, PeriodicTask
from infra.foundation.failpoints import failpoint
from infra.messaging.append_only_stream import AUDIT_ANCHOR_STREAM

POLL_SECONDS = 5.0
"""Seconds between two looks for what another process noted and died before posting."""
MIN_INTERVAL_SECONDS = 1.0
ACK_TIMEOUT_SECONDS = 3.0
ACQUIRE_TIMEOUT_SECONDS = 3.0

_END = "SELECT seq, hash FROM trail ORDER BY seq DESC LIMIT 1"

log = logging.getLogger("souk.trail")


class AuditAnchor:
    """Posts the end of a service's chain. Each process of it does, and the same end twice says nothing new."""

    def __init__(self, service: str, pool: "asyncpg.Pool[Any]", client: Client) -> None:
        self.service = service
        self.pool = pool
        self.name = "trail head"
        self._js = client.jetstream(timeout=ACK_TIMEOUT_SECONDS)
        self._pace = MinInterval(MIN_INTERVAL_SECONDS)
        self._posted = 0
        self._worker = PeriodicTask(self.name, self._post, interval_seconds=POLL_SECONDS)

    def wake(self) -> None:
        """Something was noted. Called after the commit."""
        self._worker.wake()

    async def run(self) -> None:
        await self._worker.run()

    async def _post(self) -> bool:
        await self._pace.wait()
        async with self.pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
            end = await connection.fetchrow(_END)
        seq, digest = (end["seq"], end["hash"].hex()) if end else (0, "")
        if seq < self._posted:
            log.error("the audit trail is shorter than it was", extra={"fields": {"was": self._posted, "is": seq}})
        elif seq > self._posted:
            failpoint("heads.read")
            said = {headers.AUDIT_SEQ: str(seq), headers.AUDIT_HASH: digest}
            said[headers.MESSAGE_ID] = f"{self.service}.{seq}.{digest}"
            await self._js.publish(
                AUDIT_ANCHOR_STREAM.subject_for(self.service), b"", stream=AUDIT_ANCHOR_STREAM.name, headers=said
            )
            self._posted = seq
        return False
