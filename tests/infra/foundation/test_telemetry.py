"""Log lines, and the export of traces."""

import json
import logging
from uuid import UUID

import pytest

from infra.foundation import trace
from infra.foundation.ids import new_id
from infra.foundation.telemetry import JsonLogFormatter, build_tracer, configure_logging


def test_traces_are_exported_only_to_a_set_endpoint() -> None:
    assert build_tracer("", "order") == (None, None)
    tracer, provider = build_tracer("http://127.0.0.1:9/v1/traces", "order")
    assert tracer is not None
    assert provider is not None
    provider.shutdown()


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
