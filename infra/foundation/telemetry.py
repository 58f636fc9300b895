"""Logs as JSON lines, traces to an OTLP collector, and Prometheus metrics."""

import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from infra.foundation import trace
from infra.foundation.fast_imports import without

with without("rich"):  # structlog would load it to colour tracebacks in a terminal: 50 ms in each process
    import structlog
    from structlog.typing import EventDict, Processor

DURATION_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
EXPORT_TIMEOUT_SECONDS = 2.0
"""For one batch of spans, retries included. A process that stops waits for the last ones, with its event loop still."""
MAX_SPAN_BATCH, MAX_SPAN_QUEUE = 2048, 4096
"""Two batches at most wait when a process stops."""


class JsonLogFormatter(logging.Formatter):
    """Formats a log record as one line of JSON with the trace id and the fields of `get_logger`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """Returns the record as a line of JSON."""
        here = trace.current()
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self.service,
            "message": record.getMessage(),
        }
        if here is not trace.UNTRACED:
            line["trace_id"] = here.trace_id
            if here.request_id:
                line["request_id"] = here.request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Returns a logger whose keyword arguments become fields of the log line: `log.info("mail sent", order_id=id)`.

    It writes through Python's own logging, as the libraries do, so all lines have one form.
    """
    processors: list[Processor] = [
        structlog.stdlib.filter_by_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _to_log_record,
    ]
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    ).bind()
    return wrapped


def _to_log_record(_logger: object, _level: str, fields: EventDict) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Turns the fields of a line into the arguments of Python's logging."""
    options = {name: fields.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in fields}
    return (str(fields.pop("event")),), {**options, "extra": {"fields": fields}}


def configure_logging(service: str, level: str) -> None:
    """Writes all logs to stderr as JSON lines; libraries that log much are limited to errors.

    What the lines do not show is not collected: looking up the caller, thread and process took a quarter of a line.
    """
    logging._srcfile = None  # noqa: SLF001 - documented as the way to skip the caller
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("nats", "aiohttp.access", "pymongo", "mail.log"):
        logging.getLogger(library).setLevel(logging.ERROR)


@contextmanager
def exporting_spans(endpoint: str, service: str) -> Iterator[None]:
    """Records the spans of this process and exports them in the background while the block is open.

    Without an endpoint no spans are recorded.
    """
    if not endpoint:
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - this import takes a fifth of a second
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    resource = Resource.create({"service.name": f"souk-{service}", "service.version": version("souk")})
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_SECONDS)
    processor = BatchSpanProcessor(exporter, max_queue_size=MAX_SPAN_QUEUE, max_export_batch_size=MAX_SPAN_BATCH)
    provider.add_span_processor(processor)
    try:
        with trace.recording(provider.get_tracer("souk")):
            yield
    finally:
        provider.shutdown()


class Metrics:
    """Prometheus metrics of one process. Labels are subject patterns of the contract, never concrete subjects."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge("souk_build_info", "Always 1.", ("version", "python"), registry=self.registry)
        build.labels(version("souk"), platform.python_version()).set(1)
        self.rpc_duration = Histogram(
            "souk_rpc_duration_seconds",
            "Duration of handled requests.",
            ("operation", "outcome"),
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.events_consumed = Counter(
            "souk_events_consumed_total",
            "Events consumed, by outcome.",
            ("event", "outcome"),
            registry=self.registry,
        )
        self.events_published = Counter(
            "souk_events_published_total", "Events published from the outbox.", ("event",), registry=self.registry
        )
        self._add_waiting()
        self.http_duration = Histogram(
            "souk_http_request_seconds",
            "Duration of HTTP requests.",
            ("method", "route", "status"),
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.nats_errors = Counter(
            "souk_nats_errors_total", "Errors of the NATS connection, by kind.", ("kind",), registry=self.registry
        )

    def _add_waiting(self) -> None:
        """Adds the gauges of what waits: in the outbox, in the consumers, among the dead letters."""
        self.outbox_rows = Gauge("souk_outbox_rows", "Rows waiting in the outbox.", registry=self.registry)
        self.oldest_outbox_row: datetime | None = None
        """When the oldest row in the outbox was written, if this process relays it."""
        oldest = Gauge(
            "souk_outbox_oldest_seconds", "Age of the oldest row waiting in the outbox.", registry=self.registry
        )
        oldest.set_function(self._outbox_age)
        self.consumer_pending = Gauge(
            "souk_consumer_pending", "Events not yet delivered to the service.", ("stream",), registry=self.registry
        )
        self.consumer_ack_pending = Gauge(
            "souk_consumer_ack_pending",
            "Events delivered to the service and not yet acknowledged.",
            ("stream",),
            registry=self.registry,
        )
        self.dead_letters = Gauge(
            "souk_dead_letters", "Dead letters of the service that wait for an operator.", registry=self.registry
        )

    def _outbox_age(self) -> float:
        return 0.0 if self.oldest_outbox_row is None else (datetime.now(UTC) - self.oldest_outbox_row).total_seconds()
