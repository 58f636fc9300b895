import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from infra.ops.devstack.data_dir import open_data_folder
from infra.ops.devstack.free_ports import LOOPBACK, Ports
from infra.ops.devstack.mail_files import forget, mail, mails
from infra.ops.devstack.service_programs import mailbox
from infra.ops.devstack.smtp_sink import Keeper
from infra.ops.devstack.supervised_process import Process


def letter(to: str = "ada@example.com", subject: str = "Your order") -> EmailMessage:
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
    layout = open_data_folder(tmp_path_factory.mktemp("mail") / "souk")
    port = Ports().take(0, "mail", "")
    process = Process(mailbox(layout, port), lambda: None)
    await process.start()
    yield Sink(port, layout.mail)
    await process.stop()


async def test_a_mail_is_kept_as_it_was_sent(sink: Sink) -> None:
    await aiosmtplib.send(letter(subject="Für Zoë"), hostname=LOOPBACK, port=sink.port)
    (kept,) = mails(sink.folder, to="ADA@example.com")
    assert (kept.to, kept.sender, kept.subject) == ("ada@example.com", "shop@example.com", "Für Zoë")
    assert kept.text == "Thank you, Zoë.\n"
    assert kept.html == "<p>Thank you, Zoë.</p>\n"
    assert dict(kept.headers)["traceparent"].startswith("00-aaaa")


async def test_many_at_once(sink: Sink) -> None:
    async def send(sender: int) -> None:
        async with aiosmtplib.SMTP(hostname=LOOPBACK, port=sink.port) as client:
            for n in range(25):
                await client.send_message(letter(to=f"many-{sender}-{n}@example.com"))

    async with asyncio.timeout(5):
        await asyncio.gather(*(send(n) for n in range(8)))
    kept = mails(sink.folder, to="many-")
    assert len({one.to for one in kept}) == 200
    assert [one.number for one in kept] == sorted(one.number for one in kept)


def test_only_the_newest_are_kept_and_numbers_go_on(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, kept=3)
    for n in range(5):
        keeper.keep(bytes(letter(subject=str(n + 1))))
    Keeper(tmp_path, kept=3).keep(bytes(letter(subject="6")))
    assert [(one.number, one.subject) for one in mails(tmp_path)] == [(4, "4"), (5, "5"), (6, "6")]
    assert [one.number for one in mails(tmp_path, newest=1)] == [6]
    assert mail(tmp_path, 1) is None


def test_a_mailbox_is_emptied_and_no_other(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    for to in ("Ada <Ada@example.com>", "ada@example.com", "nevada@example.com"):
        keeper.keep(bytes(letter(to=to)))
    assert forget(tmp_path, to="ADA@example.com") == 2
    assert [one.to for one in mails(tmp_path)] == ["nevada@example.com"]


def test_a_mail_that_is_no_mail_is_shown_nevertheless(tmp_path: Path) -> None:
    Keeper(tmp_path).keep(b"\xff\xfe no headers")
    (kept,) = mails(tmp_path)
    assert (kept.to, kept.subject) == ("", "")


def test_the_sink_takes_its_port_and_folder_from_the_command_line(tmp_path: Path) -> None:
    layout = open_data_folder(tmp_path / "souk")
    assert list(mailbox(layout, 2525).argv) == [
        sys.executable,
        "-m",
        "infra.ops.devstack.smtp_sink",
        "2525",
        str(layout.mail),
    ]
