"""The current trace (W3C Trace Context), held in a context variable.

Every request, event, log line and mail carries the trace id, sampled or not. OpenTelemetry records spans only if the
sampled flag is set and an exporter is configured, so an unsampled message costs next to nothing.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from opentelemetry import trace as otel
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace context, with the id and the deadline of the request it belongs to."""

    trace_id: str
    span_id: str
    sampled: bool
    request_id: str = ""
    deadline: float | None = None
    """When the caller stops waiting, by `time.monotonic()` of this process."""

    @property
    def traceparent(self) -> str:
        """The value of the `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


UNTRACED = Trace("0" * 32, "0" * 16, sampled=False)
"""The trace of code that runs outside any request, event or background task."""
_current: ContextVar[Trace] = ContextVar("trace", default=UNTRACED)


def current() -> Trace:
    """Returns the active trace."""
    return _current.get()


def start(*, sampled: bool = False, request_id: str = "") -> Trace:
    """Starts a new trace."""
    return Trace(secrets.token_hex(16), secrets.token_hex(8), sampled, request_id)


def parse(traceparent: str | None, *, request_id: str = "", deadline: float | None = None) -> Trace:
    """Returns the trace of a `traceparent` header, or a new trace if the header is missing or malformed."""
    found = _TRACEPARENT.match(traceparent or "")
    if not found:
        return replace(start(request_id=request_id), deadline=deadline)
    return Trace(found[1], found[2], bool(int(found[3], 16) & 1), request_id, deadline)


@contextmanager
def activate(trace: Trace) -> Iterator[Trace]:
    """Makes `trace` the current trace inside the block."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


@contextmanager
def span(trace: Trace, tracer: Tracer | None, name: str, kind: SpanKind) -> Iterator[Trace]:
    """Activates `trace` inside the block, with a recorded span of its own if it is sampled and a tracer is set."""
    if tracer is None or not trace.sampled:
        with activate(trace):
            yield trace
        return
    parent = SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    context = otel.set_span_in_context(NonRecordingSpan(parent))
    with tracer.start_as_current_span(name, context=context, kind=kind) as recorded:
        child = replace(trace, span_id=f"{recorded.get_span_context().span_id:016x}")
        try:
            with activate(child):
                yield child
        except Exception as error:
            recorded.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
