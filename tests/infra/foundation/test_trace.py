"""Trace contexts and spans."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from contracts.failure import NotFound
from infra.foundation import trace


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


def test_only_sampled_messages_have_spans() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with trace.span(trace.start(sampled=False), tracer, "unsampled", SpanKind.SERVER):
        pass
    parent = trace.start(sampled=True)
    with trace.span(parent, tracer, "sampled", SpanKind.SERVER) as child:
        assert trace.current() is child
        assert child.trace_id == parent.trace_id
        assert child.span_id != parent.span_id
    with pytest.raises(NotFound), trace.span(parent, tracer, "failing", SpanKind.SERVER):
        raise NotFound
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["sampled", "failing"]
    assert not spans[1].status.is_ok
    assert trace.current() is trace.UNTRACED
