"""`souk mail`: lists, shows and deletes the mails of the local shop."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.ops.cli.commands import app
from infra.ops.devstack.data_dir import DataDir, open_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.smtp_sink import MailStore


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    monkeypatch.setenv("SOUK_DATA", str(tmp_path / "souk"))
    monkeypatch.setenv("COLUMNS", "160")
    found = open_data_dir(tmp_path / "souk")
    store(found, "ada@example.com", "Paid")
    store(found, "zoe@example.com", "Shipped")
    return found


def store(data_dir: DataDir, to: str, subject: str) -> None:
    message = EmailMessage()
    message["To"], message["Subject"] = to, subject
    message.set_content(f"Text of {subject}")
    MailStore(data_dir.mail_dir).store(bytes(message))


def mail(*options: str) -> str:
    result = CliRunner().invoke(app, ["mail", *options], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.usefixtures("data_dir")
def test_mails_are_listed_and_shown() -> None:
    assert "ada@example.com" in mail()
    assert "Shipped" in mail()
    assert "Shipped" not in mail("--to", "ada")
    assert "Text of Paid" in mail("1")
    assert "Subject: Shipped" in mail("--last")
    assert "Text of Paid" in mail("--last", "--to", "ada@example.com")


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("option", ["--delete", "--forget"])
def test_mails_to_an_address_are_deleted(option: str) -> None:
    assert "Deleted 1 mail to ada@example.com." in mail(option, "--to", "ada@example.com")
    assert "ada@example.com" not in mail()
    with pytest.raises(StackError, match="--to ADDRESS"):
        mail(option)
