"""What the mails say, and that nothing that comes in can change what they are."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from jinja2 import UndefinedError
from pydantic import SecretStr

from contracts.money import Money
from contracts.notification import NotificationKind
from contracts.order import CancelReason, OrderStatus
from services.notification.domain.deliveries import MailDelivery
from services.notification.mail.message import build_message
from services.notification.mail.smtp import MailRejected
from services.notification.mail.templates import MailTemplates, Recipient, format_money
from tests.services.notification.sample_mails import TOKENS, TRACEPARENT, delivery

LETTERS = MailTemplates("Souk", "https://shop.example/")
ADA = Recipient("ada@example.com", "Ada Lovelace", "Ada")
SENDER = Address(display_name="Souk", addr_spec="orders@souk.example")
AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


def enclosed(about: MailDelivery, to: Recipient = ADA) -> EmailMessage:
    """The mail as its receiver parses it."""
    mail = build_message(about, LETTERS.render(about, to), to, SENDER, AT)
    parsed = message_from_bytes(mail.as_bytes(), policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


@pytest.mark.parametrize("kind", NotificationKind)
def test_every_kind_is_written_in_both_forms(kind: NotificationKind) -> None:
    letter = LETTERS.render(delivery(kind), replace(ADA, token=SecretStr("a-token")))
    for form in (letter.text, letter.html):
        assert "Dear Ada" in form
        assert ("a-token" if kind in TOKENS else "S-1001") in form
        assert ("an order" in form) is (kind not in TOKENS)
        assert "https://shop.example" in form
    assert "<" not in letter.text
    assert letter.html.startswith("<!doctype html>")


@pytest.mark.parametrize("kind", [NotificationKind.ORDER_PLACED, NotificationKind.ORDER_PAID])
def test_lines_and_sums_are_there(kind: NotificationKind) -> None:
    letter = LETTERS.render(delivery(kind), ADA)
    for form in (letter.text, letter.html):
        assert "Brass lamp" in form
        assert "$2,469.00" in form
    assert "2 x Brass lamp: $2,469.00" in letter.text
    assert "$1,234.50" in letter.html


def test_the_way_of_the_parcel_is_told() -> None:
    letter = LETTERS.render(delivery(NotificationKind.ORDER_SHIPPED), ADA)
    assert "Carrier: Caravan & Sons" in letter.text
    assert "Caravan &amp; Sons" in letter.html
    assert "CS 42" in letter.text


@pytest.mark.parametrize("reason", CancelReason)
def test_every_reason_is_told_in_words(reason: CancelReason) -> None:
    told = {LETTERS.render(delivery(NotificationKind.ORDER_CANCELLED, reason=one), ADA).text for one in CancelReason}
    assert len(told) == len(CancelReason)
    letter = LETTERS.render(delivery(NotificationKind.ORDER_CANCELLED, reason=reason, was=OrderStatus.PAID), ADA)
    assert "Your money goes back" in letter.text
    assert "Your money goes back" in letter.html


def test_html_in_a_name_stays_text() -> None:
    mallory = Recipient("m@example.com", "<script>alert(1)</script>", "<script>alert(1)</script>")
    letter = LETTERS.render(delivery(name="Lamp <b>& co</b>"), mallory)
    assert "<script" not in letter.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in letter.html
    assert "Lamp &lt;b&gt;&amp; co&lt;/b&gt;" in letter.html
    assert "Lamp <b>& co</b>" in letter.text


def test_a_shop_without_an_address_has_no_links() -> None:
    letter = MailTemplates("Souk", "").render(delivery(), ADA)
    assert "href" not in letter.html
    assert "http" not in letter.text


def test_a_template_that_lacks_something_fails() -> None:
    with pytest.raises(UndefinedError):
        LETTERS.render(delivery(NotificationKind.ORDER_SHIPPED, tracking=None), ADA)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "USD", "$19.99"),
        (123456789, "EUR", "€1,234,567.89"),
        (1999, "JPY", "¥1,999"),
        (1500, "KWD", "KWD\xa01.500"),
        (1500, "IQD", "IQD\xa01.500"),
        (0, "USD", "$0.00"),
        (10**12, "USD", "$10,000,000,000.00"),
    ],
)
def test_money_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert format_money(Money(amount=amount, currency=currency)) == text


def test_the_headers_of_a_mail() -> None:
    about = delivery()
    mail = enclosed(about)
    assert mail["From"] == "Souk <orders@souk.example>"
    assert mail["To"] == "Ada Lovelace <ada@example.com>"
    assert mail["Subject"] == "Your order S-1001 is paid"
    assert mail["Date"].datetime == AT
    assert mail["Message-ID"] == f"<{about.id}@souk.example>"
    assert mail["traceparent"] == TRACEPARENT
    assert mail["X-Request-Id"] == "req-1"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_a_mail_sent_again_is_the_same_mail() -> None:
    about = delivery()
    assert enclosed(about)["Message-ID"] == enclosed(about)["Message-ID"]


def test_both_forms_arrive_as_written() -> None:
    about = delivery(name="Teapot “Çaydanlik” 茶")
    mail, letter = enclosed(about), LETTERS.render(about, ADA)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == letter.text.splitlines()
    assert html.get_content().splitlines() == letter.html.splitlines()


@pytest.mark.parametrize("name", ["Ada\r\nBcc: all@example.com", "Ada\nBcc: all@example.com", "Ada\x0b\x85\u2028B"])
def test_nobody_breaks_out_of_a_header(name: str) -> None:
    mail = enclosed(delivery(number=name), Recipient("ada@example.com", name, name))
    assert mail["Bcc"] is None
    assert len(mail["To"].addresses) == 1
    assert mail["To"].addresses[0].addr_spec == "ada@example.com"
    assert "\n" not in mail["Subject"]


@pytest.mark.parametrize("email", ["ada@example.com\r\nBcc: all@example.com", "ada", "a b@example.com", ""])
def test_an_address_that_no_mail_can_have_is_refused(email: str) -> None:
    about = delivery()
    with pytest.raises(MailRejected):
        build_message(about, LETTERS.render(about, ADA), Recipient(email, "Ada", "Ada"), SENDER, AT)


@pytest.mark.parametrize("name", ["Ångström, Émilie", 'Ada "the Countess" <x@y.example>', "李 雷", ""])
def test_any_name_can_be_written_to(name: str) -> None:
    mail = enclosed(delivery(), Recipient("ada@example.com", name, name))
    assert [(to.display_name, to.addr_spec) for to in mail["To"].addresses] == [(name, "ada@example.com")]
