"""The small pieces of the kernel: cursors, keys, traces, logs, settings."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from contracts.failure import Fail, IdempotencyKeyReused, InternalError, InvalidCursor, NotFound
from contracts.order import IllegalTransition
from infra.foundation import pagination as cursor
from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.settings import PostgresSettings, load_settings
from infra.foundation.telemetry import JsonLogFormatter, build_tracer, configure_logging
from infra.messaging.idempotency import IdempotencyKey, StoredReply


@given(st.text(), st.integers(-(2**53), 2**53), st.uuids())
def test_a_cursor_comes_back_as_it_was(word: str, number: int, some_id: UUID) -> None:
    assert cursor.decode_cursor(cursor.encode_cursor(word, number, some_id), str, int, UUID) == (word, number, some_id)


def test_a_moment_in_a_cursor() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert cursor.decode_cursor(cursor.encode_cursor(moment), datetime.fromisoformat) == (moment,)


@pytest.mark.parametrize("made_up", ["", "x", "bm9wZQ", "W10", "WyJ4Il0", "WzEsMl0", "eyJhIjoxfQ", "_" * 1000])
def test_a_made_up_cursor_is_refused(made_up: str) -> None:
    with pytest.raises(InvalidCursor):
        cursor.decode_cursor(made_up, UUID)


def test_a_key_opens_only_its_own_answer() -> None:
    answer = StoredReply(b'{"a": 1}', {"Souk-Version": "3"})
    key = IdempotencyKey.derive("rpc.order.place", "ada", "k", b"body")
    assert key.unseal(key.fingerprint, key.seal(answer)) == answer
    with pytest.raises(IdempotencyKeyReused):
        key.unseal(b"another", key.seal(answer))


def test_a_confidential_answer_needs_the_key_itself() -> None:
    answer = StoredReply(b'{"token": "hush"}', {})
    key = IdempotencyKey.derive("rpc.user.login", "ada", "k", b"body", confidential=True)
    sealed = key.seal(answer)
    assert b"hush" not in sealed
    assert key.unseal(key.fingerprint, sealed) == answer


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", True),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
        ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_a_trace_is_continued_if_it_is_one(header: str | None, kept: bool) -> None:  # noqa: FBT001
    here = trace.parse(header, request_id="r")
    assert (here.traceparent == header) is kept
    assert here.request_id == "r"


def test_a_sampled_message_has_a_span_and_an_unsampled_none() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with trace.span(trace.start(sampled=False), tracer, "quiet", SpanKind.SERVER):
        pass
    parent = trace.start(sampled=True)
    with trace.span(parent, tracer, "loud", SpanKind.SERVER) as child:
        assert trace.current() is child
        assert child.trace_id == parent.trace_id
        assert child.span_id != parent.span_id
    with pytest.raises(NotFound), trace.span(parent, tracer, "failing", SpanKind.SERVER):
        raise NotFound
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["loud", "failing"]
    assert not spans[1].status.is_ok
    assert trace.current() is trace.UNTRACED


def test_traces_leave_only_where_an_endpoint_is_set() -> None:
    assert build_tracer("", "order") == (None, None)
    tracer, provider = build_tracer("http://127.0.0.1:9/v1/traces", "order")
    assert tracer is not None
    assert provider is not None
    provider.shutdown()


def test_a_log_line_is_json_with_its_trace() -> None:
    record = logging.LogRecord("souk", logging.INFO, "", 0, "sold %s", ("a lamp",), None)
    record.fields = {"order_id": new_id()}
    with trace.activate(trace.start(request_id="r-1")) as here:
        line = json.loads(JsonLogFormatter("order").format(record))
    assert line["message"] == "sold a lamp"
    assert line["trace_id"] == here.trace_id
    assert line["request_id"] == "r-1"
    assert UUID(line["order_id"])


def test_a_log_line_tells_of_an_exception(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    configure_logging("order", "INFO")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("souk").exception("oh")
    logging.root.handlers.clear()
    line = json.loads(capsys.readouterr().err)
    assert "ZeroDivisionError" in line["exception"]
    assert "trace_id" not in line


def test_settings_come_from_files_and_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "souk_nats_password").write_text("hush")
    (tmp_path / "souk_database_password").write_text("hush")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOUK_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SOUK_DATABASE_URL", "postgresql://here")
    settings = load_settings(PostgresSettings)
    assert settings.nats_password.get_secret_value() == "hush"
    assert "hush" not in repr(settings)


def test_missing_settings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOUK_SECRETS_DIR", raising=False)
    monkeypatch.setenv("SOUK_OPS_PORT", "hunter2")
    with pytest.raises(SystemExit) as ended:
        load_settings(PostgresSettings)
    assert "SOUK_NATS_PASSWORD" in str(ended.value)
    assert "SOUK_OPS_PORT" in str(ended.value)
    assert "hunter2" not in str(ended.value)


def test_a_failure_travels_and_comes_back() -> None:
    failure = Fail.from_json(IllegalTransition("it is delivered", retry_after=2).to_json("r-1"))
    assert isinstance(failure, IllegalTransition)
    assert (failure.detail, failure.retry_after) == ("it is delivered", 2)


def test_a_failure_nobody_knows_is_a_bug_of_the_other_side() -> None:
    body = b'{"title": "Odd", "status": 418, "detail": "odd", "code": "never_heard_of"}'
    assert isinstance(Fail.from_json(body), InternalError)
