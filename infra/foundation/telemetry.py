"""Logs as JSON lines with trace and request ids, traces to an OTLP collector, and the figures Prometheus reads."""

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
    """A log record as one line of JSON; `extra={"fields": {...}}` adds to it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLogFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("nats", "aiohttp.access", "pymongo", "mail.log"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def build_tracer(endpoint: str, service: str) -> tuple[Tracer | None, TracerProvider | None]:
    """A tracer that exports to `endpoint` in the background; none where no endpoint is set."""
    if not endpoint:
        return None, None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - a fifth of a second at start
        OTLPSpanExporter,
    )

    provider = TracerProvider(resource=Resource.create({"service.name": f"souk-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider.get_tracer("souk"), provider


class Metrics:
    """The figures of one process, labelled by the contract's pattern and never by a concrete subject."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rpc_duration = Histogram(
            "souk_ask_seconds",
            "Asks answered.",
            ("operation", "outcome"),
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.events_consumed = Counter(
            "souk_events_heard_total",
            "Events applied, by what became of them.",
            ("event", "outcome"),
            registry=self.registry,
        )
        self.events_published = Counter(
            "souk_events_published_total", "Events that left the outbox.", ("event",), registry=self.registry
        )
        self.outbox_rows = Gauge("souk_outbox_rows", "Rows that wait in the outbox.", registry=self.registry)
        self.http_duration = Histogram(
            "souk_http_request_seconds",
            "HTTP requests answered.",
            ("method", "route", "status"),
            buckets=DURATION_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.nats_errors = Counter(
            "souk_nats_errors_total", "What NATS complained of.", ("kind",), registry=self.registry
        )
