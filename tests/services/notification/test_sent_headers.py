"""The bytes of sent mails: whatever a name, a subject or an address holds, one recipient reads one body."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.utils import getaddresses
from typing import Any

import aiosmtplib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.notification.app import build_smtp_client
from services.notification.domain.names import to_name_line
from services.notification.mail.message import build_message, to_mail_address
from services.notification.mail.recipients import Recipient
from services.notification.mail.smtp import MailRejected, SmtpConnection
from services.notification.mail.templates import MailTemplates
from services.notification.settings import NotificationSettings
from tests.services.notification.sample_mails import mail_delivery
from tests.services.notification.smtp_server import MailServer

TEMPLATES = MailTemplates("Souk", "https://shop.example")
SENDER = Address(display_name="Souk", addr_spec="orders@souk.example")
SENT_AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
EMAIL = "ada@example.com"
MAX_LINE_BYTES = 998
MAX_ENCODED_WORD = 75
NAMES = [
    "A" * 100 + " " + "B" * 100,
    "A" * 201,
    "Ada" + " a" * 90 + ", Bob <bob@example.org>, Carl <carl@example.org>",
    ", ".join(f"{initial * 20} <{initial}@example.org>" for initial in "abcdef"),
    'Smith, Ada (Dr.); the "Countess" \\',
    "=?utf-8?q?x?=",
    "=?utf-8?b?PGJvYkBleGFtcGxlLm9yZz4=?=",
    "Ångström" * 20,
    "李小龍 محمد علي 👩\u200d🚀",
    "👩\u200d👩\u200d👧\u200d👦" * 20,
    "\u200b\u2060",
    "line\u2028separator\x85\r\n\r\nbody",
    "",
]
names = st.text(max_size=201) | st.lists(
    st.sampled_from(["A" * 40, " ", ",", '"', "<b@c.example>", "é", "=?", "\\"])
).map(lambda parts: "".join(parts)[:201])


def build(name: str, *, email: str = EMAIL, subject: str | None = None, sender: Address = SENDER) -> bytes:
    delivery, recipient = mail_delivery(), Recipient(email, name, name)
    if subject is not None:
        delivery = replace(delivery, subject=subject)
    return build_message(delivery, TEMPLATES.render(delivery, recipient), recipient, sender, SENT_AT)


def require_sound_lines(raw: bytes) -> None:
    """Reads the head as a mail server does: one header on each line or its continuations, and no line too long."""
    head, separator, _ = raw.partition(b"\r\n\r\n")
    assert separator
    assert all(len(line) <= MAX_LINE_BYTES for line in raw.split(b"\r\n"))
    assert b"\n" not in head.replace(b"\r\n", b"")
    for line in head.split(b"\r\n"):
        assert line.strip(), "an empty line ends the head"
        assert line.startswith((b" ", b"\t")) or b": " in line
        assert all(len(word) <= MAX_ENCODED_WORD for word in line.split() if word.startswith(b"=?"))


def require_one_recipient(raw: bytes, email: str, name: str) -> None:
    """Reads the recipient with both parsers of the standard library.

    The modern one keeps the white space between encoded words, which RFC 2047 removes; the legacy one reads them right.
    """
    modern = message_from_bytes(raw, policy=policy.default)
    assert modern["To"].defects == ()
    (recipient,) = modern["To"].addresses
    assert recipient.addr_spec == email
    assert "".join(recipient.display_name.split()) == "".join(name.split())
    legacy: Message = message_from_bytes(raw, policy=policy.compat32)
    ((encoded_name, address),) = getaddresses([str(legacy["To"])])
    assert address == email
    assert str(make_header(decode_header(encoded_name))) == name


def require_sound(raw: bytes, email: str, name: str, greeting: str) -> EmailMessage:
    require_sound_lines(raw)
    require_one_recipient(raw, email, name)
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    assert [header for header in ("To", "Cc", "Bcc", "Subject", "From") if len(parsed.get_all(header, [])) == 1] == [
        "To",
        "Subject",
        "From",
    ]
    body = parsed.get_body(("plain",))
    assert body is not None
    assert body.get_content().splitlines()[0] == (f"Hello {greeting}," if greeting else "Hello,")
    return parsed


@given(names)
@example(NAMES[0])
@example(NAMES[2])
def test_any_name_leaves_one_recipient_and_the_body_as_it_is(name: str) -> None:
    line = to_name_line(name)
    require_sound(build(name), EMAIL, line, line)


@given(st.text(max_size=255))
@example("=?utf-8?q?x?=")
@example("A" * 255)
@example("ü" * 255)
def test_any_subject_is_read_as_it_was_written(subject: str) -> None:
    raw = build("Ada", subject=subject)
    parsed = require_sound(raw, EMAIL, "Ada", "Ada")
    line = " ".join("".join(char if char.isprintable() else " " for char in subject).split())
    assert parsed["Subject"] == line
    assert parsed["Subject"].defects == ()


@given(st.text(max_size=100))
@example("A, B <c@d.example>" * 5)
def test_any_shop_name_leaves_one_sender(shop_name: str) -> None:
    line = to_name_line(shop_name)
    parsed = message_from_bytes(
        build("Ada", sender=Address(display_name=line, addr_spec="orders@souk.example")),
        policy=policy.default,
    )
    (one,) = parsed["From"].addresses
    assert ("".join(one.display_name.split()), one.addr_spec) == ("".join(line.split()), "orders@souk.example")


@pytest.mark.parametrize("name", NAMES)
async def test_names_arrive_at_a_mail_server(mail_server: MailServer, name: str) -> None:
    await send(mail_server, build(name), EMAIL)
    require_sound(mail_server.raw_mails[0], EMAIL, to_name_line(name), to_name_line(name))
    assert mail_server.recipients == [[EMAIL]]


@pytest.mark.parametrize(
    ("email", "sent_to"),
    [
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("\uff41da\u200b@example.com", "ada@example.com"),
        ("n" * 64 + "@" + "d" * 60 + "." + "e" * 60 + "." + "f" * 60 + ".ex", ""),
        ("o'neill!#$%&*/=?^_`{|}~-@example.com", ""),
    ],
)
async def test_addresses_arrive_at_a_mail_server(mail_server: MailServer, email: str, sent_to: str) -> None:
    await send(mail_server, build("Ada Lovelace", email=email), to_mail_address(email))
    require_sound(mail_server.raw_mails[0], sent_to or email, "Ada Lovelace", "Ada Lovelace")
    assert mail_server.recipients == [[sent_to or email]]


async def test_a_name_beyond_ascii_is_sent_by_smtputf8(mail_server: MailServer) -> None:
    email = "josé@bücher.example"
    await send(mail_server, build("Ada, José", email=email), to_mail_address(email))
    raw, sent_to = mail_server.raw_mails[0], "josé@xn--bcher-kva.example"
    require_sound_lines(raw)
    assert mail_server.recipients == [[sent_to]]
    assert f" <{sent_to}>\r\n".encode() in raw
    (recipient,) = message_from_string(raw.decode(), policy=policy.SMTPUTF8)["To"].addresses
    assert (recipient.display_name, recipient.addr_spec) == ("Ada, José", sent_to)


@pytest.mark.parametrize("email", ["a..b@example.com", "a.@example.com", ".a@example.com", "a@x..org", "a@[192.0.2.1]"])
def test_an_older_address_that_breaks_the_rule_is_rejected(email: str) -> None:
    with pytest.raises(MailRejected):
        build("Ada", email=email)


def settings(**given: Any) -> NotificationSettings:
    return NotificationSettings(_env_file=None, nats_password="n", database_url="d", database_password="p", **given)


def test_the_senders_address_follows_the_rule() -> None:
    for mail_from in ("orders..x@souk.example", "orders@[192.0.2.1]", "märkte@souk.example"):
        with pytest.raises(ValidationError):
            settings(mail_from=mail_from)
    assert settings(mail_from="märkte@souk.example", smtp_utf8=True).mail_from == "märkte@souk.example"
    client = build_smtp_client(settings(mail_from="orders@bücher.example"))
    assert client.local_hostname == "xn--bcher-kva.example"


async def send(server: MailServer, message: bytes, email: str) -> None:
    connection = SmtpConnection(
        aiosmtplib.SMTP(hostname="127.0.0.1", port=server.port, timeout=1, local_hostname="souk.example")
    )
    await connection.ensure_connected()
    await connection.send(message, "orders@souk.example", email)
    await connection.close()
