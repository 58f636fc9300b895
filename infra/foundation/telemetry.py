"""Logs as JSON lines, traces to an OTLP collector, and Prometheus metrics."""

import logging
import sys
from datetime import UTC, datetime

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from infra.foundation import trace

DURATION_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class JsonLogFormatter(logging.Formatter):
    """Formats a log record as one line of JSON with the trace id; `extra={"fields": {...}}` adds fields."""

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


def configure_logging(service: str, level: str) -> None:
    """Writes all logs to stderr as JSON lines; libraries that log much are limited to errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("nats", "aiohttp.access", "pymongo", "mail.log"):
        logging.getLogger(library).setLevel(logging.ERROR)


def build_tracer(endpoint: str, service: str) -> tuple[Tracer | None, TracerProvider | None]:
    """Returns a tracer that exports in the background, and its provider; (None, None) without an endpoint."""
    if not endpoint:
        return None, None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - this import takes a fifth of a second
        OTLPSpanExporter,
    )

    provider = TracerProvider(resource=Resource.create({"service.name": f"souk-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider.get_tracer("souk"), provider


class Metrics:
    """Prometheus metrics of one process. Labels are subject patterns of the contract, never concrete subjects."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.outbox_rows = Gauge("souk_outbox_rows", "Rows waiting in the outbox.", registry=self.registry)
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
