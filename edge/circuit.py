"""A circuit a service: once a service has fallen silent, nobody waits for it before it is heard of again.

Libraries count calls that failed. Here a failure is known only when an ask's whole time is over, and with one of two
processes frozen half of the asks fail while the service is well. So it is silence that opens a circuit: several asks
out, the oldest for seconds, and not one answer since. Any answer closes it, a refusal too: whoever refuses is there.
"""

import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from contracts.failure import Unavailable
from edge.settings import EdgeSettings

log = logging.getLogger("souk.circuit")


class Circuit:
    """Whether a service is asked. While the circuit is open, one ask goes through every `pause` seconds, to try."""

    def __init__(
        self, service: str, *, silence: float, asks: int, pause: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.service = service
        self.open = False
        self._silence = silence
        self._asks = asks
        self._pause = pause
        self._clock = clock
        self._unanswered = 0
        self._since = 0.0
        self._try_at = 0.0

    def pass_through(self) -> None:
        """Lets an ask out, or refuses it at once."""
        now = self._clock()
        if not self._unanswered:
            self._since = now
        elif not self.open and self._unanswered >= self._asks and now - self._since > self._silence:
            self._turn(open_=True)
        if self.open:
            if now < self._try_at:
                raise Unavailable(f"{self.service} does not answer just now", retry_after=max(self._pause, 1))
            self._try_at = now + self._pause
        self._unanswered += 1

    def heard(self) -> None:
        """The service has answered something."""
        self._unanswered = 0
        if self.open:
            self._turn(open_=False)

    def unsent(self) -> None:
        """The ask has not left: that nothing answers it says nothing of the service."""
        self._unanswered = max(self._unanswered - 1, 0)

    def _turn(self, *, open_: bool) -> None:
        self.open = open_
        fields = {"service": self.service, "circuit": "open" if open_ else "closed"}
        log.warning("a circuit has changed", extra={"fields": fields})


class Circuits:
    """One for each service, made when it is first asked; shown as `souk_circuit_open`."""

    def __init__(self, settings: EdgeSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._gauge = Gauge("souk_circuit_open", "1 while a service is not asked.", ("service",), registry=registry)
        self._known: dict[str, Circuit] = {}

    def of(self, service: str) -> Circuit:
        found = self._known.get(service)
        if found is None:
            said = self._settings
            found = self._known[service] = Circuit(
                service, silence=said.edge_silence, asks=said.edge_silent_asks, pause=said.edge_probe_pause
            )
            self._gauge.labels(service).set_function(lambda: float(found.open))
        return found
