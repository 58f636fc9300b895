"""The text of mails, and that no value can break out of its place in them."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from babel.numbers import format_currency, get_currency_symbol
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from pydantic import SecretStr

from contracts.money import CURRENCY_EXPONENTS, MAX_AMOUNT, Money
from contracts.notification import NotificationKind
from contracts.order import CancelReason, OrderStatus
from infra.foundation.ids import new_id
from services.notification.domain.deliveries import MailDelivery
from services.notification.mail.message import build_message
from services.notification.mail.recipients import Recipient
from services.notification.mail.smtp import MailRejected
from services.notification.mail.templates import MailTemplates, format_money
from tests.services.notification.sample_mails import TOKEN_MAILS, TRACEPARENT, mail_delivery

TEMPLATES = MailTemplates("Souk", "https://shop.example/")
ADA = Recipient("ada@example.com", "Ada Lovelace", "Ada")
SENDER = Address(display_name="Souk", addr_spec="orders@souk.example")
SENT_AT = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)


def parsed_mail(delivery: MailDelivery, recipient: Recipient = ADA) -> EmailMessage:
    """Returns the mail as a mail client parses it."""
    mail = build_message(delivery, TEMPLATES.render(delivery, recipient), recipient, SENDER, SENT_AT)
    parsed = message_from_bytes(mail, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


@pytest.mark.parametrize("kind", NotificationKind)
def test_every_kind_is_rendered_in_both_forms(kind: NotificationKind) -> None:
    rendered = TEMPLATES.render(mail_delivery(kind), replace(ADA, token=SecretStr("a-token")))
    for form in (rendered.text, rendered.html):
        assert "Hello Ada," in form
        assert ("a-token" if kind in TOKEN_MAILS else "S-1001") in form
        assert ("an order" in form) is (kind not in TOKEN_MAILS)
        assert "https://shop.example" in form
    assert "<" not in rendered.text
    assert rendered.html.startswith("<!doctype html>")


def test_link_to_an_order_keeps_its_token_from_servers() -> None:
    """What follows the `#` is sent to no server, so no log has it."""
    order_id = new_id()
    delivery = mail_delivery(NotificationKind.ORDER_LOOKUP, order_id=order_id)
    rendered = TEMPLATES.render(delivery, replace(ADA, token=SecretStr("a-token")))
    link = f"https://shop.example/#order={order_id}&access=a-token"
    assert link in rendered.text
    assert link.replace("&", "&amp;") in rendered.html


@pytest.mark.parametrize("kind", [NotificationKind.ORDER_PLACED, NotificationKind.ORDER_PAID])
def test_items_and_totals_are_shown(kind: NotificationKind) -> None:
    rendered = TEMPLATES.render(mail_delivery(kind), ADA)
    for form in (rendered.text, rendered.html):
        assert "Brass lamp" in form
        assert "$2,469.00" in form
    assert "2 x Brass lamp: $2,469.00" in rendered.text
    assert "$1,234.50" in rendered.html


@pytest.mark.parametrize(("tax_included", "label"), [(False, "Tax"), (True, "Includes tax")], ids=["added", "included"])
def test_discount_shipping_and_tax_are_shown(*, tax_included: bool, label: str) -> None:
    values = {"discount": 24690, "shipping": 495, "tax": 854}
    amounts = {name: Money(amount=amount, currency="USD") for name, amount in values.items()}
    mail = mail_delivery(NotificationKind.ORDER_PLACED, **amounts, tax_included=tax_included)
    rendered = TEMPLATES.render(mail, ADA)
    assert "  Discount: -$246.90\n  Shipping: $4.95\n" in rendered.text
    assert rendered.html.count("&minus;$246.90") == 1
    assert f"  {label}: $8.54" in rendered.text
    assert f">{label}</td>" in rendered.html
    assert rendered.html.count("$8.54") == rendered.html.count("$4.95") == 1


def test_a_mail_about_an_order_without_them_shows_no_discount_shipping_or_tax() -> None:
    free = Money(amount=0, currency="USD")
    for amounts in ({}, {"discount": free, "shipping": free, "tax": free}):
        text = TEMPLATES.render(mail_delivery(NotificationKind.ORDER_PAID, **amounts), ADA).text
        assert "  2 x Brass lamp: $2,469.00\n  Order total: $2,469.00\n" in text


def test_tracking_is_shown() -> None:
    rendered = TEMPLATES.render(mail_delivery(NotificationKind.ORDER_SHIPPED), ADA)
    assert "Carrier: Caravan & Sons" in rendered.text
    assert "Caravan &amp; Sons" in rendered.html
    assert "CS 42" in rendered.text
    assert "In this parcel:\n  2 x Brass lamp\n" in rendered.text
    assert "another parcel" not in rendered.text


def test_cancelled_units_and_their_refund_are_shown() -> None:
    kind, amount = NotificationKind.ORDER_UNITS_CANCELLED, Money(amount=123450, currency="USD")
    rendered = TEMPLATES.render(mail_delivery(kind, amount=amount), ADA)
    for form in (rendered.text, rendered.html):
        assert "We cancelled it at your request." in form
        assert "$1,234.50" in form
    assert "  2 x Brass lamp\n" in rendered.text
    free = TEMPLATES.render(mail_delivery(kind, amount=Money(amount=0, currency="USD"), reason=CancelReason.ADMIN), ADA)
    assert "refunding" not in free.text
    assert "unable to send these items" in free.text


def test_a_parcel_of_several_may_lack_tracking() -> None:
    delivery = mail_delivery(NotificationKind.ORDER_SHIPPED, is_tracked=False, units_left=2)
    rendered = TEMPLATES.render(delivery, ADA)
    for form in (rendered.text, rendered.html):
        assert "The rest of your order will follow in another parcel." in form
        assert "arrier" not in form
        assert "a part of your order" in form


@pytest.mark.parametrize("reason", CancelReason)
def test_every_cancel_reason_is_explained(reason: CancelReason) -> None:
    cancelled = NotificationKind.ORDER_CANCELLED
    texts = {TEMPLATES.render(mail_delivery(cancelled, reason=other), ADA).text for other in CancelReason}
    assert len(texts) == len(CancelReason)
    rendered = TEMPLATES.render(mail_delivery(cancelled, reason=reason, was=OrderStatus.PAID), ADA)
    assert "We are refunding your payment" in rendered.text
    assert "We are refunding your payment" in rendered.html


def test_html_in_a_name_is_escaped() -> None:
    mallory = Recipient("m@example.com", "<script>alert(1)</script>", "<script>alert(1)</script>")
    rendered = TEMPLATES.render(mail_delivery(name="Lamp <b>& co</b>"), mallory)
    assert "<script" not in rendered.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in rendered.html
    assert "Lamp &lt;b&gt;&amp; co&lt;/b&gt;" in rendered.html
    assert "Lamp <b>& co</b>" in rendered.text


def test_shop_without_url_has_no_links() -> None:
    rendered = MailTemplates("Souk", "").render(mail_delivery(), ADA)
    assert "href" not in rendered.html
    assert "http" not in rendered.text


def test_missing_value_fails() -> None:
    with pytest.raises(UndefinedError):
        TEMPLATES.render(mail_delivery(NotificationKind.ORDER_SHIPPED, tracking=None), ADA)


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
def test_money_format(amount: int, currency: str, text: str) -> None:
    assert format_money(Money(amount=amount, currency=currency)) == text


@given(st.integers(0, MAX_AMOUNT), st.sampled_from(sorted(CURRENCY_EXPONENTS)))
def test_money_is_formatted_as_babel_does(amount: int, currency: str) -> None:
    digits = CURRENCY_EXPONENTS[currency]
    gap = "\xa0" if get_currency_symbol(currency, "en_US")[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0" + (f".{'0' * digits}" if digits else "")
    expected = format_currency(Decimal(amount).scaleb(-digits), currency, pattern, "en_US", currency_digits=False)
    assert format_money(Money(amount=amount, currency=currency)) == expected


def test_mail_headers() -> None:
    delivery = mail_delivery()
    mail = parsed_mail(delivery)
    assert mail["From"] == "Souk <orders@souk.example>"
    assert mail["To"] == "Ada Lovelace <ada@example.com>"
    assert mail["Subject"] == "Payment received for order S-1001"
    assert mail["Date"].datetime == SENT_AT
    assert mail["Message-ID"] == f"<{delivery.id}@souk.example>"
    assert mail["traceparent"] == TRACEPARENT
    assert mail["X-Request-Id"] == "req-1"
    assert mail["Auto-Submitted"] == "auto-generated"


def test_resent_mail_has_the_same_message_id() -> None:
    delivery = mail_delivery()
    assert parsed_mail(delivery)["Message-ID"] == parsed_mail(delivery)["Message-ID"]


def test_both_forms_arrive_as_rendered() -> None:
    delivery = mail_delivery(name="Teapot “Çaydanlik” 茶")
    mail, rendered = parsed_mail(delivery), TEMPLATES.render(delivery, ADA)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == rendered.text.splitlines()
    assert html.get_content().splitlines() == rendered.html.splitlines()


@pytest.mark.parametrize("name", ["Ada\r\nBcc: all@example.com", "Ada\nBcc: all@example.com", "Ada\x0b\x85\u2028B"])
def test_values_cannot_inject_headers(name: str) -> None:
    mail = parsed_mail(mail_delivery(number=name), Recipient("ada@example.com", name, name))
    assert mail["Bcc"] is None
    assert len(mail["To"].addresses) == 1
    assert mail["To"].addresses[0].addr_spec == "ada@example.com"
    assert "\n" not in mail["Subject"]


@pytest.mark.parametrize("email", ["ada@example.com\r\nBcc: all@example.com", "ada", "a b@example.com", ""])
def test_invalid_mail_addresses_are_rejected(email: str) -> None:
    delivery = mail_delivery()
    with pytest.raises(MailRejected):
        build_message(delivery, TEMPLATES.render(delivery, ADA), Recipient(email, "Ada", "Ada"), SENDER, SENT_AT)


@pytest.mark.parametrize("name", ["Ångström, Émilie", 'Ada "the Countess" <x@y.example>', "李 雷", ""])
def test_any_name_can_be_addressed(name: str) -> None:
    mail = parsed_mail(mail_delivery(), Recipient("ada@example.com", name, name))
    addresses = [(address.display_name, address.addr_spec) for address in mail["To"].addresses]
    assert addresses == [(name, "ada@example.com")]
