"""A trace collector that receives spans by OTLP over HTTP and keeps them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as the collector received it; ids are in hexadecimal, and a root has an empty parent id."""

    service: str
    service_version: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    is_error: bool
    attributes: dict[str, str | int]


@dataclass
class TraceCollector:
    """The collector's address and what it has received."""

    endpoint: str
    spans: list[ReceivedSpan] = field(default_factory=list)

    def named(self, name: str) -> ReceivedSpan:
        """Returns the only span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """Runs a collector in a thread, because a process exports its last spans while its event loop stands still."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.spans.extend(_parse(ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    collector = TraceCollector(f"http://127.0.0.1:{server.server_port}/v1/traces")
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _parse(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for exported in request.resource_spans:
        resource = {item.key: item.value.string_value for item in exported.resource.attributes}
        for scope in exported.scope_spans:
            for span in scope.spans:
                attributes: dict[str, str | int] = {
                    item.key: item.value.string_value or item.value.int_value for item in span.attributes
                }
                yield ReceivedSpan(
                    resource["service.name"],
                    resource["service.version"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes,
                )
