"""What the operations of a process have done: for NATS micro by operation, for Prometheus by operation and outcome."""

from dataclasses import dataclass

from prometheus_client import Histogram

from infra.foundation.telemetry import Metrics


@dataclass(slots=True)
class EndpointStats:
    """What an operation has done since the process started, as NATS micro reports it."""

    requests: int = 0
    errors: int = 0
    last_error: str = ""
    seconds: float = 0.0

    def count(self, outcome: str, seconds: float) -> None:
        """Counts one request. `outcome` is the code of its failure, or `ok`."""
        self.requests += 1
        self.seconds += seconds
        if outcome != "ok":
            self.errors += 1
            self.last_error = outcome

    def to_json(self) -> dict[str, int | str]:
        """Returns the fields of ADR-32; times are in nanoseconds."""
        nanoseconds = int(self.seconds * 1_000_000_000)
        return {
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": nanoseconds,
            "average_processing_time": nanoseconds // self.requests if self.requests else 0,
        }


class DurationSeries:
    """The series of the duration histogram. It keeps them, since looking one up costs as much as measuring."""

    def __init__(self, metrics: Metrics) -> None:
        self._histogram = metrics.rpc_duration
        self._series: dict[tuple[str, str], Histogram] = {}

    def find(self, operation: str, outcome: str) -> Histogram:
        """Returns the series of an operation and an outcome."""
        series = self._series.get((operation, outcome))
        if series is None:
            series = self._series[operation, outcome] = self._histogram.labels(operation, outcome)
        return series
