"""One circuit breaker per service: once a service stops responding, no client waits for it until it responds again.

Libraries count failed calls. Here a call is known to have failed only when its whole timeout is over, and with one of
two processes frozen half of the calls fail while the service is healthy. So silence opens the circuit: several calls
are pending, the oldest for seconds, and no response has arrived since. Any response closes it, an error too, because a
service that refuses is alive. While the circuit is open no client waits; the edge probes the service's health instead.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from contracts.failure import Fail, Unavailable
from contracts.registry import HEALTH
from edge.settings import EdgeSettings
from infra.foundation.telemetry import get_logger
from infra.messaging.rpc_client import RpcClient

PROBE_TIMEOUT_SECONDS = 3.0
"""Longer than a service needs to find that its store is frozen: the service itself still responds then."""

log = get_logger("souk.circuit")


class CircuitBreaker:
    """Whether a service is called. While the circuit is open, calls start `probe` at most once per interval."""

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
        self._silence_seconds = silence_seconds
        self._unanswered_limit = unanswered_limit
        self._probe_interval_seconds = probe_interval_seconds
        self._clock = clock
        self._unanswered = 0
        self._silent_since = 0.0
        self._next_probe_at = 0.0

    def before_call(self) -> None:
        """Counts a call that is about to be sent, or raises Unavailable while the circuit is open."""
        now = self._clock()
        if not self._unanswered:
            self._silent_since = now
        elif not self.is_open and self._is_silent(now):
            self._set_open(is_open=True)
        if self.is_open:
            self._probe_if_due(now)
            detail = f"The {self.service} service is not responding. Try again in a moment."
            raise Unavailable(detail, retry_after=max(self._probe_interval_seconds, 1))
        self._unanswered += 1

    def on_success(self) -> None:
        """Closes the circuit: the service has responded, be it with an error."""
        self._unanswered = 0
        if self.is_open:
            self._set_open(is_open=False)

    def on_not_sent(self) -> None:
        """Takes back a call that never left this process: its failure says nothing about the service."""
        self._unanswered = max(self._unanswered - 1, 0)

    def _is_silent(self, now: float) -> bool:
        return self._unanswered >= self._unanswered_limit and now - self._silent_since > self._silence_seconds

    def _probe_if_due(self, now: float) -> None:
        if now >= self._next_probe_at:
            self._next_probe_at = now + self._probe_interval_seconds
            self._probe()

    def _set_open(self, *, is_open: bool) -> None:
        self.is_open = is_open
        log.warning("circuit changed", service=self.service, circuit="open" if is_open else "closed")


class CircuitBreakers:
    """The circuit breaker of each service, created at its first call and exported as `souk_circuit_open`."""

    def __init__(self, settings: EdgeSettings, rpc: RpcClient, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._rpc = rpc
        self._probes: set[asyncio.Task[None]] = set()
        self._gauge = Gauge(
            "souk_circuit_open", "1 while calls to a service are refused.", ("service",), registry=registry
        )
        self._breakers: dict[str, CircuitBreaker] = {}

    def for_service(self, service: str) -> CircuitBreaker:
        """Returns the service's circuit breaker."""
        breaker = self._breakers.get(service)
        if breaker is None:
            breaker = self._breakers[service] = self._create(service)
            self._gauge.labels(service).set_function(lambda: float(breaker.is_open))
        return breaker

    def _create(self, service: str) -> CircuitBreaker:
        return CircuitBreaker(
            service,
            lambda: self._start_probe(service),
            silence_seconds=self._settings.edge_silence,
            unanswered_limit=self._settings.edge_silent_asks,
            probe_interval_seconds=self._settings.edge_probe_pause,
        )

    def _start_probe(self, service: str) -> None:
        task = asyncio.create_task(self._probe(service))
        self._probes.add(task)
        task.add_done_callback(self._probes.discard)

    async def _probe(self, service: str) -> None:
        with suppress(Fail):
            await self._rpc.forward(HEALTH[service].subject, b"{}", {}, timeout_seconds=PROBE_TIMEOUT_SECONDS)
            self.for_service(service).on_success()
