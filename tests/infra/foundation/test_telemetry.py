"""Log lines, and the export of traces."""

import json
import logging
import platform
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from opentelemetry.trace import SpanKind
from prometheus_client import generate_latest

from infra.foundation import telemetry, trace
from infra.foundation.ids import new_id
from infra.foundation.telemetry import JsonLogFormatter, Metrics, configure_logging, exporting_spans, get_logger


@pytest.mark.parametrize(("endpoint", "is_recorded"), [("", False), ("http://127.0.0.1:9/v1/traces", True)])
def test_spans_are_recorded_only_with_an_endpoint(endpoint: str, is_recorded: bool) -> None:  # noqa: FBT001 - a parameter of the test
    with exporting_spans(endpoint, "order"), trace.activate(trace.start(sampled=True)):
        assert trace.is_recorded() is is_recorded
    assert not trace.is_recorded()


def test_a_process_stops_soon_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "EXPORT_TIMEOUT_SECONDS", 0.2)
    with exporting_spans("http://127.0.0.1:9/v1/traces", "order"):
        with trace.span(trace.start(sampled=True), "last", SpanKind.SERVER):
            pass
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 3


def test_fields_of_a_logger_are_fields_of_the_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    get_logger("souk.test").info("sold %s", "100% wool", order_id="o-1")
    (record,) = caplog.records
    line = json.loads(JsonLogFormatter("order").format(record))
    assert line["message"] == "sold 100% wool"
    assert line["order_id"] == "o-1"


def test_a_process_tells_its_version_and_no_time_of_creation() -> None:
    metrics = Metrics()
    metrics.rpc_duration.labels("rpc.order.place", "ok").observe(7)
    page = generate_latest(metrics.registry).decode()
    assert f'souk_build_info{{python="{platform.python_version()}",version="' in page
    assert "process_resident_memory_bytes" in page
    assert 'le="10.0"' in page
    assert "_created" not in page


def test_the_age_of_the_oldest_outbox_row_grows() -> None:
    metrics = Metrics()
    assert metrics.registry.get_sample_value("souk_outbox_oldest_seconds") == 0
    metrics.oldest_outbox_row = datetime.now(UTC) - timedelta(minutes=5)
    assert (metrics.registry.get_sample_value("souk_outbox_oldest_seconds") or 0) >= 300


def test_log_line_is_json_with_its_trace() -> None:
    record = logging.LogRecord("souk", logging.INFO, "", 0, "sold %s", ("a lamp",), None)
    record.fields = {"order_id": new_id()}
    with trace.activate(trace.start(request_id="r-1")) as context:
        line = json.loads(JsonLogFormatter("order").format(record))
    assert line["message"] == "sold a lamp"
    assert line["trace_id"] == context.trace_id
    assert line["request_id"] == "r-1"
    assert UUID(line["order_id"])


def test_log_line_has_the_exception(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    configure_logging("order", "INFO")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("souk").exception("calculation failed")
    logging.root.handlers.clear()
    line = json.loads(capsys.readouterr().err)
    assert "ZeroDivisionError" in line["exception"]
    assert "trace_id" not in line
