"""A circuit a service: once a service has fallen silent, nobody waits for it before it is heard of again.

Libraries count calls that failed. Here a failure is known only when an ask's whole time is over, and with one of two
processes frozen half of the asks fail while the service is well. So it is silence that opens a circuit: several asks
out, the oldest for seconds, and not one answer since. Any answer closes it, a refusal too: whoever refuses is there.
While it is open no client waits; the service's health is asked for now and then instead.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from contracts.failure import Fail, Unavailable
from contracts.registry import HEALTH
from edge.settings import EdgeSettings
from infra.messaging.rpc import RpcClient

PROBE_TIMEOUT_SECONDS = 3.0
"""Longer than a service takes to find its store frozen: it is there all the same."""

log = logging.getLogger("souk.circuit")


class CircuitBreaker:
    """Whether a service is asked. While the circuit is open and somebody wants it, `probe` every `pause` seconds."""

    def __init__(
        self,
        service: str,
        probe: Callable[[], None],
        *,
        silence_seconds: float,
        unanswered_limit: int,
        probe_interval_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.is_open = False
        self._probe = probe
        self._silence = silence_seconds
        self._asks = unanswered_limit
        self._pause = probe_interval_seconds
        self._clock = clock
        self._unanswered = 0
        self._since = 0.0
        self._try_at = 0.0

    def before_call(self) -> None:
        """Lets an ask out, or refuses it at once."""
        now = self._clock()
        if not self._unanswered:
            self._since = now
        elif not self.is_open and self._unanswered >= self._asks and now - self._since > self._silence:
            self._turn(open_=True)
        if self.is_open:
            if now >= self._try_at:
                self._try_at = now + self._pause
                self._probe()
            raise Unavailable(f"{self.service} does not answer just now", retry_after=max(self._pause, 1))
        self._unanswered += 1

    def on_success(self) -> None:
        """The service has answered something."""
        self._unanswered = 0
        if self.is_open:
            self._turn(open_=False)

    def on_not_sent(self) -> None:
        """The ask has not left: that nothing answers it says nothing of the service."""
        self._unanswered = max(self._unanswered - 1, 0)

    def _turn(self, *, open_: bool) -> None:
        self.is_open = open_
        fields = {"service": self.service, "circuit": "open" if open_ else "closed"}
        log.warning("a circuit has changed", extra={"fields": fields})


class CircuitBreakers:
    """One for each service, made when it is first asked; shown as `souk_circuit_open`."""

    def __init__(self, settings: EdgeSettings, asker: RpcClient, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._asker = asker
        self._probes: set[asyncio.Task[None]] = set()
        self._gauge = Gauge("souk_circuit_open", "1 while a service is not asked.", ("service",), registry=registry)
        self._known: dict[str, CircuitBreaker] = {}

    def for_service(self, service: str) -> CircuitBreaker:
        found = self._known.get(service)
        if found is None:
            said = self._settings
            found = self._known[service] = CircuitBreaker(
                service,
                lambda: self._begin_probe(service),
                silence_seconds=said.edge_silence,
                unanswered_limit=said.edge_silent_asks,
                probe_interval_seconds=said.edge_probe_pause,
            )
            self._gauge.labels(service).set_function(lambda: float(found.is_open))
        return found

    def _begin_probe(self, service: str) -> None:
        task = asyncio.create_task(self._asked(service))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _asked(self, service: str) -> None:
        with suppress(Fail):
            await self._asker.forward(HEALTH[service].subject, b"{}", {}, timeout_seconds=PROBE_TIMEOUT_SECONDS)
            self.for_service(service).on_success()
