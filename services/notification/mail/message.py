"""Builds the mail message: content and headers, in which no value can add another header.

The Message-ID is the delivery's id. A mail that goes out twice, because a process died after the mail server accepted
it and before that was recorded, has the same Message-ID both times, so mail servers and clients can recognize it.
"""

from datetime import datetime
from email.headerregistry import Address, BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache

from contracts.email_addresses import clean_email, find_email_problem, to_ascii_domain_email
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails import to_one_line
from services.notification.domain.names import to_name_line
from services.notification.mail.header_text import FoldedHeader, address_header, text_header
from services.notification.mail.recipients import Recipient
from services.notification.mail.smtp import MailRejected
from services.notification.mail.templates import RenderedMail


class _CachedHeaderRegistry(HeaderRegistry):
    """Makes the class of each header once; the standard library makes it again for every header of every mail."""

    @cache  # noqa: B019 - there is one registry, which lives as long as the process
    def __getitem__(self, name: str) -> type[BaseHeader]:
        header_class: type[BaseHeader] = super().__getitem__(name)
        return header_class


POLICY = SMTP.clone(header_factory=_CachedHeaderRegistry())


def build_message(
    delivery: MailDelivery, rendered: RenderedMail, recipient: Recipient, sender: Address, sent_at: datetime
) -> EmailMessage:
    """Builds the message; raises `MailRejected` when the recipient's e-mail is not a valid mail address."""
    message = EmailMessage(policy=POLICY)
    message["From"] = address_header("From", to_name_line(sender.display_name), sender.addr_spec)
    message["To"] = address_header("To", to_name_line(recipient.name), to_mail_address(recipient.email))
    message["Subject"] = text_header("Subject", to_one_line(delivery.subject))
    message["Date"] = format_datetime(sent_at)
    message["Message-ID"] = FoldedHeader("Message-ID", f"<{delivery.id}@{sender.domain}>")
    message["Auto-Submitted"] = "auto-generated"
    message["traceparent"] = delivery.traceparent
    if delivery.request_id:
        message["X-Request-Id"] = text_header("X-Request-Id", to_one_line(delivery.request_id))
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    return message


def to_mail_address(email: str) -> str:
    """Returns the address as mail servers take it; raises `MailRejected` when it breaks the rule for addresses."""
    cleaned = clean_email(email)
    if find_email_problem(cleaned):
        raise MailRejected("the recipient's e-mail is not a valid mail address")
    return to_ascii_domain_email(cleaned)
