"""Metrics of what waits in JetStream for a service: events of its consumers, and its dead letters."""

from collections.abc import Sequence

import nats.errors
from nats.js import JetStreamContext

from infra.foundation.telemetry import Metrics
from infra.messaging.topology import DEAD_LETTER_STREAM, Consumer

MEASURE_SECONDS = 5.0


class LagMetrics:
    """Measures the consumers and the dead letters of one service."""

    def __init__(self, service: str, consumers: Sequence[Consumer], js: JetStreamContext, metrics: Metrics) -> None:
        self.service = service
        self.consumers = consumers
        self.js = js
        self.metrics = metrics

    async def measure(self) -> bool:
        """Sets the gauges. While NATS is unavailable they keep their values, and `/readyz` tells of the outage."""
        try:
            for consumer in self.consumers:
                info = await self.js.consumer_info(consumer.stream, self.service)
                self.metrics.consumer_pending.labels(consumer.stream).set(info.num_pending or 0)
                self.metrics.consumer_ack_pending.labels(consumer.stream).set(info.num_ack_pending or 0)
            stream = await self.js.stream_info(DEAD_LETTER_STREAM, subjects_filter=f"dead.{self.service}.*")
            self.metrics.dead_letters.set(sum((stream.state.subjects or {}).values()))
        except (nats.errors.Error, OSError):
            pass
        return False
