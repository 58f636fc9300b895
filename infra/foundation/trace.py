"""The current trace (W3C Trace Context), held in a context variable, and the spans recorded in it.

Every request, event, log line and mail carries the trace id, sampled or not. OpenTelemetry records spans only if the
sampled flag is set and an exporter is configured, so an unsampled message costs next to nothing.
"""

import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace

from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

_ids = random.Random()  # noqa: S311 - ids are no secrets, and the system's generator takes two system calls for each
_SPAN_ID_MASK = (1 << 64) - 1
_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")

Attributes = Mapping[str, str | int | float | bool]
"""What a span tells about its work, by the names of OpenTelemetry's semantic conventions."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace context, with the id and the deadline of the request it belongs to."""

    trace_id: str
    span_id: str
    sampled: bool
    request_id: str = ""
    deadline: float | None = None
    """When the caller stops waiting, by `time.monotonic()` of this process."""
    is_new: bool = False
    """Whether the trace begins here: its first span has no parent."""

    @property
    def traceparent(self) -> str:
        """The value of the `traceparent` header."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


UNTRACED = Trace("0" * 32, "0" * 16, sampled=False)
"""The trace of code that runs outside any request, event or background task."""
_current: ContextVar[Trace] = ContextVar("trace", default=UNTRACED)
_tracer: Tracer | None = None
"""Records the spans of this process; None without an exporter."""


@contextmanager
def recording(tracer: Tracer | None) -> Iterator[None]:
    """Records the spans of this process with `tracer` while the block is open."""
    global _tracer  # noqa: PLW0603 - a process has one tracer, as it has one log
    before, _tracer = _tracer, tracer
    try:
        yield
    finally:
        _tracer = before


def current() -> Trace:
    """Returns the active trace."""
    return _current.get()


def is_recorded() -> bool:
    """Whether spans of the current trace are recorded."""
    return has_spans(_current.get())


def start(*, sampled: bool = False, request_id: str = "") -> Trace:
    """Starts a new trace."""
    ids = _ids.getrandbits(192)
    return Trace(f"{ids >> 64:032x}", f"{ids & _SPAN_ID_MASK:016x}", sampled, request_id, is_new=True)


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


def activate_in_task(trace: Trace) -> None:
    """Makes `trace` the current trace of the running task until it ends: a task has a context of its own."""
    _current.set(trace)


def has_spans(trace: Trace) -> bool:
    """Whether spans of a trace are recorded."""
    return _tracer is not None and trace.sampled


def span(
    trace: Trace, name: str, kind: SpanKind, attributes: Attributes | None = None
) -> AbstractContextManager[Trace]:
    """Activates `trace` inside the block, with a recorded span of its own if the trace is recorded.

    An exception that leaves the block marks the span as failed, by the name of its class: its text may hold secrets.
    """
    if _tracer is None or not trace.sampled:
        return activate(trace)
    return _recorded_span(_tracer, trace, name, kind, attributes)


def child_span(name: str, kind: SpanKind, attributes: Attributes | None = None) -> AbstractContextManager[Trace]:
    """Records a span of the current trace inside the block; without recording it does nothing."""
    here = _current.get()
    if _tracer is None or not here.sampled:
        return nullcontext(here)
    return _recorded_span(_tracer, here, name, kind, attributes)


@contextmanager
def _recorded_span(
    tracer: Tracer, trace: Trace, name: str, kind: SpanKind, attributes: Attributes | None
) -> Iterator[Trace]:
    with tracer.start_as_current_span(
        name,
        context=_parent(trace),
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as recorded:
        try:
            with activate(_child(trace, recorded)) as child:
                yield child
        except Exception as error:
            _set_failed(recorded, type(error).__name__)
            raise


def annotate(attributes: Attributes, *, error: str = "") -> None:
    """Adds attributes to the current span, and marks it as failed if `error` names what went wrong."""
    if _tracer is None:
        return
    recorded = otel.get_current_span()
    recorded.set_attributes(attributes)
    if error:
        _set_failed(recorded, error)


def record_span(name: str, kind: SpanKind, attributes: Attributes, *, seconds: float, error: str | None = None) -> None:
    """Records a span of the current trace that ends now and took so many seconds."""
    here = _current.get()
    if _tracer is None or not here.sampled:
        return
    end = time.time_ns()
    begin = end - int(seconds * 1e9)
    recorded = _tracer.start_span(name, context=_parent(here), kind=kind, attributes=attributes, start_time=begin)
    if error is not None:
        _set_failed(recorded, error)
    recorded.end(end)


def _parent(trace: Trace) -> otel_context.Context:
    """The OpenTelemetry context in which a span of the trace starts: empty for the first span of a new trace."""
    if trace.is_new:
        return otel_context.Context()
    parent = SpanContext(int(trace.trace_id, 16), int(trace.span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
    return otel.set_span_in_context(NonRecordingSpan(parent), otel_context.Context())


def _child(trace: Trace, recorded: Span) -> Trace:
    """The trace inside a recorded span. OpenTelemetry chooses the ids, also the trace id of a new trace."""
    made = recorded.get_span_context()
    return replace(trace, trace_id=f"{made.trace_id:032x}", span_id=f"{made.span_id:016x}", is_new=False)


def _set_failed(recorded: Span, error: str) -> None:
    recorded.set_attribute("error.type", error)
    recorded.set_status(Status(StatusCode.ERROR, error))
