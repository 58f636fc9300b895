"""`souk docs`: where it writes, and that the architecture diagram shows every service and message."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.registry import OPERATIONS, SERVICES, SUBSCRIPTIONS
from infra.ops.cli import docs
from infra.ops.cli.architecture_diagram import draw_architecture, event_rows, request_rows
from infra.ops.cli.commands import app
from infra.ops.devstack.errors import StackError


def run(*options: str) -> str:
    result = CliRunner().invoke(app, ["docs", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_documents_can_be_written_outside_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "REPOSITORY", tmp_path / "site-packages")
    out = tmp_path / "a" / "docs"
    run("--out", str(out))
    assert {path.name for path in out.iterdir()} == set(docs.DOCUMENTS)
    run("--out", str(out), "--check")
    (out / "access.md").write_text("old")
    with pytest.raises(StackError, match=r"access\.md is out of date"):
        run("--out", str(out), "--check")
    with pytest.raises(StackError, match="--out DIR"):
        run()


def test_the_diagram_is_valid_and_shows_every_service() -> None:
    root = ET.fromstring(draw_architecture())  # noqa: S314 - our own document
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert set(SERVICES) <= texts


def test_the_diagram_shows_every_request_and_subscription() -> None:
    requests = {(row.source, target, name) for row in request_rows() for target in row.targets
                for name in row.label.split(", ")}  # fmt: skip
    assert requests == {(caller, one.service, one.name) for one in OPERATIONS for caller in one.callers
                        if caller in SERVICES}  # fmt: skip
    events = {(row.source, target, name) for row in event_rows() for target in row.targets
              for name in row.label.split(", ")}  # fmt: skip
    assert events == {(event.service, service, event.name) for service, found in SUBSCRIPTIONS.items()
                      for event in found}  # fmt: skip
