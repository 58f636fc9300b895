"""Trace contexts and spans."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from contracts.failure import NotFound
from infra.foundation import trace


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with trace.recording(provider.get_tracer("test")):
        yield exporter


@pytest.mark.parametrize(
    ("header", "is_continued"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
        ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_only_a_valid_traceparent_is_continued(header: str | None, is_continued: bool) -> None:  # noqa: FBT001 - a parameter of the test
    context = trace.parse(header, request_id="r")
    assert (context.traceparent == header) is is_continued
    assert context.request_id == "r"


def test_only_sampled_messages_have_spans(exported: InMemorySpanExporter) -> None:
    with trace.span(trace.start(sampled=False), "unsampled", SpanKind.SERVER), trace.child_span("c", SpanKind.CLIENT):
        trace.record_span("statement", SpanKind.CLIENT, {}, seconds=1)
    parent = trace.parse("00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    with trace.span(parent, "sampled", SpanKind.SERVER) as child:
        assert trace.current() is child
        assert child.trace_id == parent.trace_id
        assert child.span_id != parent.span_id
    with pytest.raises(NotFound), trace.span(parent, "failing", SpanKind.SERVER):
        raise NotFound("a secret")
    sampled, failing = exported.get_finished_spans()
    assert (sampled.name, failing.name) == ("sampled", "failing")
    assert sampled.parent is not None
    assert f"{sampled.parent.span_id:016x}" == parent.span_id
    assert not failing.status.is_ok
    assert "secret" not in failing.to_json()
    assert trace.current() is trace.UNTRACED


def test_the_first_span_of_a_new_trace_has_no_parent(exported: InMemorySpanExporter) -> None:
    with trace.span(trace.start(sampled=True, request_id="r"), "first", SpanKind.SERVER) as first:
        with trace.child_span("second", SpanKind.CLIENT, {"messaging.system": "nats"}) as second:
            assert second.trace_id == first.trace_id
            assert second.request_id == "r"
        trace.record_span("SELECT", SpanKind.CLIENT, {}, seconds=0.5, error="DeadlockDetectedError")
        trace.annotate({"http.response.status_code": 500}, error="500")
    spans = {span.name: span for span in exported.get_finished_spans()}
    root = spans["first"]
    assert root.parent is None
    assert f"{root.context.trace_id:032x}" == first.trace_id
    assert root.attributes == {"http.response.status_code": 500, "error.type": "500"}
    assert not root.status.is_ok
    for name in ("second", "SELECT"):
        assert spans[name].parent is not None
        assert spans[name].parent.span_id == root.context.span_id  # type: ignore[union-attr]
    statement = spans["SELECT"]
    assert not statement.status.is_ok
    assert (statement.end_time or 0) - (statement.start_time or 0) == 500_000_000
