"""The SMTP sink stores mails, and they are read and deleted."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from infra.ops.devstack.data_dir import open_data_dir
from infra.ops.devstack.free_ports import LOOPBACK, PortPicker
from infra.ops.devstack.mail_files import delete_mails, list_mails, read_mail
from infra.ops.devstack.service_programs import smtp_sink_program
from infra.ops.devstack.smtp_sink import MailStore
from infra.ops.devstack.supervised_process import SupervisedProcess


def new_mail(to: str = "ada@example.com", subject: str = "Your order") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", to, subject
    message["traceparent"] = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    message.set_content("Thank you, Zoë.\n")
    message.add_alternative("<p>Thank you, Zoë.</p>\n", subtype="html")
    return message


@dataclass(frozen=True)
class Sink:
    port: int
    folder: Path


@pytest.fixture(scope="module")
async def sink(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sink]:
    layout = open_data_dir(tmp_path_factory.mktemp("mail") / "souk")
    with PortPicker() as ports:
        port = ports.reserve(0, "mail", "")
        process = SupervisedProcess(smtp_sink_program(layout, port), lambda: None)
        await process.start()
        yield Sink(port, layout.mail_dir)
        await process.stop()


async def test_a_mail_is_stored_unchanged(sink: Sink) -> None:
    await aiosmtplib.send(new_mail(subject="Für Zoë"), hostname=LOOPBACK, port=sink.port)
    (stored,) = list_mails(sink.folder, to="ADA@example.com")
    assert (stored.to, stored.sender, stored.subject) == ("ada@example.com", "shop@example.com", "Für Zoë")
    assert stored.text == "Thank you, Zoë.\n"
    assert stored.html == "<p>Thank you, Zoë.</p>\n"
    assert dict(stored.headers)["traceparent"].startswith("00-aaaa")


async def test_many_concurrent_mails_are_stored(sink: Sink) -> None:
    async def send(sender: int) -> None:
        async with aiosmtplib.SMTP(hostname=LOOPBACK, port=sink.port) as client:
            for n in range(25):
                await client.send_message(new_mail(to=f"many-{sender}-{n}@example.com"))

    async with asyncio.timeout(5):
        await asyncio.gather(*(send(n) for n in range(8)))
    stored = list_mails(sink.folder, to="many-")
    assert len({one.to for one in stored}) == 200
    assert [one.number for one in stored] == sorted(one.number for one in stored)


def test_only_the_newest_mails_are_kept(tmp_path: Path) -> None:
    keeper = MailStore(tmp_path, max_kept=3)
    for n in range(5):
        keeper.store(bytes(new_mail(subject=str(n + 1))))
    MailStore(tmp_path, max_kept=3).store(bytes(new_mail(subject="6")))
    assert [(one.number, one.subject) for one in list_mails(tmp_path)] == [(4, "4"), (5, "5"), (6, "6")]
    assert [one.number for one in list_mails(tmp_path, newest=1)] == [6]
    assert read_mail(tmp_path, 1) is None


def test_deletion_affects_one_address(tmp_path: Path) -> None:
    keeper = MailStore(tmp_path)
    for to in ("Ada <Ada@example.com>", "ada@example.com", "nevada@example.com"):
        keeper.store(bytes(new_mail(to=to)))
    assert delete_mails(tmp_path, to="ADA@example.com") == 2
    assert [one.to for one in list_mails(tmp_path)] == ["nevada@example.com"]


def test_a_malformed_mail_can_be_read(tmp_path: Path) -> None:
    MailStore(tmp_path).store(b"\xff\xfe no headers")
    (stored,) = list_mails(tmp_path)
    assert (stored.to, stored.subject) == ("", "")


def test_the_sink_takes_its_port_and_folder_from_the_command_line(tmp_path: Path) -> None:
    layout = open_data_dir(tmp_path / "souk")
    assert list(smtp_sink_program(layout, 2525).argv) == [
        sys.executable,
        "-m",
        "infra.ops.devstack.smtp_sink",
        "2525",
        str(layout.mail_dir),
    ]
