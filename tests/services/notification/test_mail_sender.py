"""Sending mails through a real mail server: its replies, outages, and processes that die."""

import asyncio
import io
import logging
from collections.abc import Awaitable, Callable
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
from services.notification.settings import NotificationSettings
from services.notification.store import deliveries
from tests.services.notification.conftest import Addressee, MailQueue
from tests.services.notification.sample_mails import TRACE_ID, TRACEPARENT
from tests.services.notification.smtp_server import MailServer

Eventually = Callable[..., Awaitable[Any]]


async def test_mail_reaches_the_customer(mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee) -> None:
    delivery_id = await mail_queue.enqueue(addressee.id)
    await mail_queue.sender(mail_server).send_batch()
    (mail,) = mail_server.mails
    assert mail["To"].addresses[0].addr_spec == addressee.email
    assert mail["To"].addresses[0].display_name == "Ada Lovelace"
    assert mail["Subject"] == "Payment received for order S-1001"
    assert mail["Message-ID"] == f"<{delivery_id}@souk.example>"
    assert mail["traceparent"] == TRACEPARENT
    row = await mail_queue.row(delivery_id)
    assert (row["status"], row["attempts"], row["reason"]) == ("sent", 1, None)
    assert row["sent_at"]


async def test_one_connection_serves_many_mails(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    sender = mail_queue.sender(mail_server)
    for kind in NotificationKind:
        await mail_queue.enqueue(addressee.id, kind)
        await sender.send_batch()
    assert len(mail_server.mails) == len(NotificationKind)
    assert mail_server.connections == 1


async def test_log_of_a_sent_mail_has_the_trace_and_no_address(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    log_output = io.StringIO()
    handler = logging.StreamHandler(log_output)
    handler.setFormatter(JsonLogFormatter("notification"))
    log = logging.getLogger("souk.mail")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        delivery_id = await mail_queue.enqueue(addressee.id)
        await mail_queue.sender(mail_server).send_batch()
    finally:
        log.removeHandler(handler)
    (line,) = map(orjson.loads, log_output.getvalue().splitlines())
    assert line["message"] == "mail sent"
    assert (line["trace_id"], line["request_id"]) == (TRACE_ID, "req-1")
    assert line["delivery_id"] == str(delivery_id)
    assert "@" not in log_output.getvalue()


async def test_mails_wait_while_the_mail_server_is_unavailable(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee, eventually: Eventually
) -> None:
    sender = mail_queue.sender(mail_server)
    delivery_ids = [await mail_queue.enqueue(addressee.id) for _ in range(3)]
    await mail_server.stop()
    await sender.send_batch()
    rows = [await mail_queue.row(delivery_id) for delivery_id in delivery_ids]
    assert {(row["status"], row["attempts"]) for row in rows} == {("queued", 0)}
    assert all(row["due_in"] <= 0 for row in rows)
    await mail_server.start()

    async def all_sent() -> bool:
        await sender.send_batch()
        return len(mail_server.mails) == len(delivery_ids)

    await eventually(all_sent)


async def test_pause_doubles_while_the_mail_server_is_unavailable(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee, eventually: Eventually
) -> None:
    sender = mail_queue.sender(mail_server)
    await mail_queue.enqueue(addressee.id)
    await mail_server.stop()
    await sender.send_batch()
    first = sender._pause
    assert first > 0
    assert await sender.send_batch() is False

    async def retried() -> bool:
        await sender.send_batch()
        return sender._pause >= 2 * first

    await eventually(retried)


async def test_idle_connection_that_was_closed_is_reopened(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notification.mail.smtp.IDLE_SECONDS", 0.0)
    sender = mail_queue.sender(mail_server)
    await mail_queue.enqueue(addressee.id)
    await sender.send_batch()
    mail_server.drop_connections()
    await mail_queue.enqueue(addressee.id)
    await sender.send_batch()
    assert len(mail_server.mails) == 2
    assert mail_server.connections == 2


@pytest.mark.parametrize("where", ["rcpt_replies", "data_replies"])
async def test_permanent_rejection_is_final(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee, where: str
) -> None:
    reply = "550 5.1.1 <{address}> has no mailbox here" if where == "rcpt_replies" else "554 5.7.1 no"
    getattr(mail_server, where).append(reply)
    rejected_id, next_id = await mail_queue.enqueue(addressee.id), await mail_queue.enqueue(addressee.id)
    await mail_queue.sender(mail_server).send_batch()
    row = await mail_queue.row(rejected_id)
    assert (row["status"], row["attempts"]) == ("failed", 1)
    assert row["reason"].startswith("55")
    assert "@" not in row["reason"]
    assert (await mail_queue.row(next_id))["status"] == "sent"


@pytest.mark.parametrize("reply", ["451 4.7.1 greylisted", "421 4.3.2 closing"])
async def test_transient_refusal_is_retried_later(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee, reply: str
) -> None:
    mail_server.rcpt_replies.append(reply)
    first, next_id = await mail_queue.enqueue(addressee.id), await mail_queue.enqueue(addressee.id)
    sender = mail_queue.sender(mail_server)
    await sender.send_batch()
    row = await mail_queue.row(first)
    assert (row["status"], row["attempts"], row["reason"]) == ("queued", 1, reply)
    assert 3 < row["due_in"] <= 5
    assert (await mail_queue.row(next_id))["status"] == "sent"
    await mail_queue.make_due(first)
    await sender.send_batch()
    row = await mail_queue.row(first)
    assert (row["status"], row["attempts"], row["reason"]) == ("sent", 2, None)


async def test_lost_connection_requeues_the_mail(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    interrupted, next_id = await mail_queue.enqueue(addressee.id), await mail_queue.enqueue(addressee.id)
    mail_server.may_reply.clear()
    working = asyncio.create_task(mail_queue.sender(mail_server).send_batch())
    await mail_server.data_received.wait()
    mail_server.drop_connections()
    mail_server.may_reply.set()
    await working
    row = await mail_queue.row(interrupted)
    assert (row["status"], row["attempts"]) == ("queued", 1)
    assert (await mail_queue.row(next_id))["status"] == "sent"


async def test_silent_server_times_out(mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee) -> None:
    delivery_id = await mail_queue.enqueue(addressee.id)
    mail_server.may_reply.clear()
    await mail_queue.sender(mail_server).send_batch()
    row = await mail_queue.row(delivery_id)
    assert (row["status"], row["attempts"]) == ("queued", 1)


async def test_unknown_recipients_are_suppressed(mail_queue: MailQueue, mail_server: MailServer) -> None:
    stranger, guest = await mail_queue.enqueue(new_id()), await mail_queue.enqueue(None)
    await mail_queue.sender(mail_server).send_batch()
    assert mail_server.mails == []
    for delivery_id in (stranger, guest):
        assert (await mail_queue.row(delivery_id))["status"] == "suppressed"


async def test_mail_leased_by_a_dead_process_is_sent_by_another(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    delivery_id = await mail_queue.enqueue(addressee.id)
    async with mail_queue.db.connection() as connection:
        (dead,) = await deliveries.claim(connection, limit=10, lease_seconds=0.0)
    await mail_queue.sender(mail_server).send_batch()
    assert [mail["Message-ID"] for mail in mail_server.mails] == [f"<{delivery_id}@souk.example>"]
    async with mail_queue.db.connection() as connection:
        await deliveries.record_outcomes(connection, [(dead, requeued(dead))])
    assert (await mail_queue.row(delivery_id))["status"] == "sent"


async def test_lease_excludes_other_processes(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    await mail_queue.enqueue(addressee.id)
    async with mail_queue.db.connection() as connection:
        (leased,) = await deliveries.claim(connection, limit=10, lease_seconds=60.0)
        assert await deliveries.claim(connection, limit=10, lease_seconds=60.0) == []
        await deliveries.record_outcomes(connection, [(leased, sent(leased))])
    await mail_queue.sender(mail_server).send_batch()
    assert mail_server.mails == []


async def test_two_processes_send_each_mail_once(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    delivery_ids = [await mail_queue.enqueue(addressee.id) for _ in range(30)]
    senders = [mail_queue.sender(mail_server, connections=2) for _ in range(2)]
    await asyncio.gather(*(sender.send_batch() for sender in senders for _ in range(2)))
    assert sorted(str(mail["Message-ID"]) for mail in mail_server.mails) == sorted(
        f"<{delivery_id}@souk.example>" for delivery_id in delivery_ids
    )


async def test_stopped_sender_finishes_the_current_mail(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    delivery_ids = [await mail_queue.enqueue(addressee.id) for _ in range(3)]
    mail_server.may_reply.clear()
    running = asyncio.create_task(mail_queue.sender(mail_server).run())
    await mail_server.data_received.wait()
    running.cancel()
    mail_server.may_reply.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    rows = [await mail_queue.row(delivery_id) for delivery_id in delivery_ids]
    assert [row["status"] for row in rows] == ["sent", "queued", "queued"]
    assert all(row["due_in"] <= 0 for row in rows[1:])
    assert len(mail_server.mails) == 1


async def test_rate_limit_is_respected(mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee) -> None:
    for _ in range(8):
        await mail_queue.enqueue(addressee.id)
    sender = mail_queue.sender(mail_server)
    sender.rate_limit = TokenBucket(5, clock=lambda: 0.0)
    assert await sender.send_batch() is True
    assert await sender.send_batch() is False
    assert len(mail_server.mails) == 5


def test_the_default_rate_keeps_up_with_the_shop() -> None:
    """A checkout sends two mails, and a shop on one machine takes 280 checkouts a second."""
    assert NotificationSettings.model_fields["mail_rate"].default >= 2 * 280


async def test_mail_that_cannot_be_built_does_not_stop_the_next(
    mail_queue: MailQueue, mail_server: MailServer, addressee: Addressee
) -> None:
    broken = await mail_queue.enqueue(addressee.id, NotificationKind.ORDER_SHIPPED)
    next_id = await mail_queue.enqueue(addressee.id)
    async with mail_queue.db.connection() as connection:
        await connection.execute("UPDATE delivery SET facts = facts - 'tracking' WHERE id = $1", broken)
    await mail_queue.sender(mail_server).send_batch()
    row = await mail_queue.row(broken)
    assert (row["status"], row["reason"]) == ("queued", "UndefinedError")
    assert (await mail_queue.row(next_id))["status"] == "sent"


@pytest.mark.parametrize("supports_unicode", [True, False])
async def test_unicode_address_needs_server_support(*, supports_unicode: bool) -> None:
    async with MailServer(supports_unicode=supports_unicode).running() as server:
        connection = SmtpConnection(
            aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, timeout=1, local_hostname="souk.example")
        )
        mail = "Subject: Grüße\r\n\r\nGuten Tag\r\n".encode()
        await connection.ensure_connected()
        if supports_unicode:
            await connection.send(mail, "orders@souk.example", "jörg@example.com")
        else:
            with pytest.raises(MailRejected):
                await connection.send(mail, "orders@souk.example", "jörg@example.com")
        assert len(server.mails) == int(supports_unicode)
        await connection.close()
        await connection.close()
