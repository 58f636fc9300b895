"""How mails leave: through a real mail server, whatever it answers, and whoever dies."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import orjson
import pytest

from contracts.notification import NotificationKind
from infra.foundation.ids import new_id
from infra.foundation.telemetry import JsonLogFormatter
from services.notification.domain.deliveries import requeued, sent
from services.notification.mail.smtp import MailRejected, SmtpConnection
from services.notification.mail.token_bucket import TokenBucket
from services.notification.store import deliveries as store
from tests.services.notification.conftest import Office, Reader
from tests.services.notification.sample_mails import TRACE_ID, TRACEPARENT
from tests.services.notification.smtp_server import MailServer

Eventually = Callable[..., Awaitable[Any]]


async def test_a_mail_reaches_the_customer(office: Office, mail_server: MailServer, reader: Reader) -> None:
    delivery_id = await office.queue(reader.id)
    await office.sender(mail_server).send_batch()
    (mail,) = mail_server.mails
    assert mail["To"].addresses[0].addr_spec == reader.email
    assert mail["To"].addresses[0].display_name == "Ada Lovelace"
    assert mail["Subject"] == "Your order S-1001 is paid"
    assert mail["Message-ID"] == f"<{delivery_id}@souk.example>"
    assert mail["traceparent"] == TRACEPARENT
    row = await office.row(delivery_id)
    assert (row["status"], row["attempts"], row["reason"]) == ("sent", 1, None)
    assert row["sent_at"]


async def test_one_connection_serves_many_mails(office: Office, mail_server: MailServer, reader: Reader) -> None:
    sender = office.sender(mail_server)
    for kind in NotificationKind:
        await office.queue(reader.id, kind)
        await sender.send_batch()
    assert len(mail_server.mails) == len(NotificationKind)
    assert mail_server.connections == 1


async def test_the_log_of_a_sent_mail_has_the_trace_and_no_address(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLogFormatter("notification"))
    log = logging.getLogger("souk.mail")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        delivery_id = await office.queue(reader.id)
        await office.sender(mail_server).send_batch()
    finally:
        log.removeHandler(handler)
    (line,) = map(orjson.loads, written.getvalue().splitlines())
    assert line["message"] == "mail sent"
    assert (line["trace_id"], line["request_id"]) == (TRACE_ID, "req-1")
    assert line["delivery_id"] == str(delivery_id)
    assert "@" not in written.getvalue()


async def test_mails_wait_while_the_mail_server_is_away(
    office: Office, mail_server: MailServer, reader: Reader, eventually: Eventually
) -> None:
    sender = office.sender(mail_server)
    ids = [await office.queue(reader.id) for _ in range(3)]
    await mail_server.stop()
    await sender.send_batch()
    rows = [await office.row(delivery_id) for delivery_id in ids]
    assert {(row["status"], row["attempts"]) for row in rows} == {("queued", 0)}
    assert all(row["wait"] <= 0 for row in rows)
    await mail_server.start()

    async def all_sent() -> bool:
        await sender.send_batch()
        return len(mail_server.mails) == len(ids)

    await eventually(all_sent)


async def test_a_server_that_is_away_is_left_alone_for_longer_each_time(
    office: Office, mail_server: MailServer, reader: Reader, eventually: Eventually
) -> None:
    sender = office.sender(mail_server)
    await office.queue(reader.id)
    await mail_server.stop()
    await sender.send_batch()
    first = sender._pause
    assert first > 0
    assert await sender.send_batch() is False

    async def tried_again() -> bool:
        await sender.send_batch()
        return sender._pause >= 2 * first

    await eventually(tried_again)


async def test_an_idle_connection_that_was_cut_is_made_anew(
    office: Office, mail_server: MailServer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notification.mail.smtp.IDLE_SECONDS", 0.0)
    sender = office.sender(mail_server)
    await office.queue(reader.id)
    await sender.send_batch()
    mail_server.cut()
    await office.queue(reader.id)
    await sender.send_batch()
    assert len(mail_server.mails) == 2
    assert mail_server.connections == 2


@pytest.mark.parametrize("where", ["rcpt", "data"])
async def test_a_permanent_refusal_is_final(
    office: Office, mail_server: MailServer, reader: Reader, where: str
) -> None:
    answer = "550 5.1.1 <{address}> has no mailbox here" if where == "rcpt" else "554 5.7.1 no"
    getattr(mail_server, where).append(answer)
    refused, next_one = await office.queue(reader.id), await office.queue(reader.id)
    await office.sender(mail_server).send_batch()
    row = await office.row(refused)
    assert (row["status"], row["attempts"]) == ("failed", 1)
    assert row["reason"].startswith("55")
    assert "@" not in row["reason"]
    assert (await office.row(next_one))["status"] == "sent"


@pytest.mark.parametrize("answer", ["451 4.7.1 greylisted", "421 4.3.2 closing"])
async def test_a_transient_refusal_comes_again_later(
    office: Office, mail_server: MailServer, reader: Reader, answer: str
) -> None:
    mail_server.rcpt.append(answer)
    first, next_one = await office.queue(reader.id), await office.queue(reader.id)
    sender = office.sender(mail_server)
    await sender.send_batch()
    row = await office.row(first)
    assert (row["status"], row["attempts"], row["reason"]) == ("queued", 1, answer)
    assert 3 < row["wait"] <= 5
    assert (await office.row(next_one))["status"] == "sent"
    await office.make_due(first)
    await sender.send_batch()
    row = await office.row(first)
    assert (row["status"], row["attempts"], row["reason"]) == ("sent", 2, None)


async def test_a_connection_lost_in_the_middle_of_a_mail(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    lost, next_one = await office.queue(reader.id), await office.queue(reader.id)
    mail_server.open.clear()
    working = asyncio.create_task(office.sender(mail_server).send_batch())
    await mail_server.reading.wait()
    mail_server.cut()
    mail_server.open.set()
    await working
    row = await office.row(lost)
    assert (row["status"], row["attempts"]) == ("queued", 1)
    assert (await office.row(next_one))["status"] == "sent"


async def test_a_server_that_says_nothing_is_not_waited_for(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    delivery_id = await office.queue(reader.id)
    mail_server.open.clear()
    await office.sender(mail_server).send_batch()
    row = await office.row(delivery_id)
    assert (row["status"], row["attempts"]) == ("queued", 1)


async def test_nobody_is_written_to_who_is_not_there(office: Office, mail_server: MailServer) -> None:
    stranger, guest = await office.queue(new_id()), await office.queue(None)
    await office.sender(mail_server).send_batch()
    assert mail_server.mails == []
    for delivery_id in (stranger, guest):
        assert (await office.row(delivery_id))["status"] == "suppressed"


async def test_what_a_dead_process_had_leased_is_sent_by_another(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    delivery_id = await office.queue(reader.id)
    async with office.db.connection() as connection:
        (dead,) = await store.claim(connection, limit=10, lease_seconds=0.0)
    await office.sender(mail_server).send_batch()
    assert [mail["Message-ID"] for mail in mail_server.mails] == [f"<{delivery_id}@souk.example>"]
    async with office.db.connection() as connection:
        await store.record_outcomes(connection, [(dead, requeued(dead))])
    assert (await office.row(delivery_id))["status"] == "sent"


async def test_a_lease_keeps_others_away(office: Office, mail_server: MailServer, reader: Reader) -> None:
    await office.queue(reader.id)
    async with office.db.connection() as connection:
        (leased,) = await store.claim(connection, limit=10, lease_seconds=60.0)
        assert await store.claim(connection, limit=10, lease_seconds=60.0) == []
        await store.record_outcomes(connection, [(leased, sent(leased))])
    await office.sender(mail_server).send_batch()
    assert mail_server.mails == []


async def test_two_processes_send_each_mail_once(office: Office, mail_server: MailServer, reader: Reader) -> None:
    ids = [await office.queue(reader.id) for _ in range(30)]
    senders = [office.sender(mail_server, lines=2) for _ in range(2)]
    await asyncio.gather(*(sender.send_batch() for sender in senders for _ in range(2)))
    assert sorted(str(mail["Message-ID"]) for mail in mail_server.mails) == sorted(
        f"<{one}@souk.example>" for one in ids
    )


async def test_a_sender_that_is_stopped_ends_the_mail_it_is_at(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    ids = [await office.queue(reader.id) for _ in range(3)]
    mail_server.open.clear()
    running = asyncio.create_task(office.sender(mail_server).run())
    await mail_server.reading.wait()
    running.cancel()
    mail_server.open.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    rows = [await office.row(delivery_id) for delivery_id in ids]
    assert [row["status"] for row in rows] == ["sent", "queued", "queued"]
    assert all(row["wait"] <= 0 for row in rows[1:])
    assert len(mail_server.mails) == 1


async def test_the_pace_is_kept(office: Office, mail_server: MailServer, reader: Reader) -> None:
    for _ in range(8):
        await office.queue(reader.id)
    sender = office.sender(mail_server)
    sender.rate_limit = TokenBucket(5, clock=lambda: 0.0)
    assert await sender.send_batch() is True
    assert await sender.send_batch() is False
    assert len(mail_server.mails) == 5


async def test_a_mail_that_cannot_be_written_does_not_stop_the_next(
    office: Office, mail_server: MailServer, reader: Reader
) -> None:
    broken, next_one = await office.queue(reader.id, NotificationKind.ORDER_SHIPPED), await office.queue(reader.id)
    async with office.db.connection() as connection:
        await connection.execute("UPDATE delivery SET facts = facts - 'tracking' WHERE id = $1", broken)
    await office.sender(mail_server).send_batch()
    row = await office.row(broken)
    assert (row["status"], row["reason"]) == ("queued", "UndefinedError")
    assert (await office.row(next_one))["status"] == "sent"


@pytest.mark.parametrize("speaks_unicode", [True, False])
async def test_an_address_beyond_ascii_goes_where_the_server_can(*, speaks_unicode: bool) -> None:
    async with MailServer(speaks_unicode=speaks_unicode).running() as server:
        line = SmtpConnection(
            aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, timeout=1, local_hostname="souk.example")
        )
        mail = EmailMessage()
        mail["Subject"] = "Grüße"
        mail.set_content("Guten Tag")
        await line.ensure_connected()
        if speaks_unicode:
            await line.send(mail, "orders@souk.example", "jörg@example.com")
        else:
            with pytest.raises(MailRejected):
                await line.send(mail, "orders@souk.example", "jörg@example.com")
        assert len(server.mails) == int(speaks_unicode)
        await line.close()
        await line.close()
