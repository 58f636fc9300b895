"""A letter as a mail: the headers around it, none of which can be broken out of.

The Message-ID is the delivery's own id. A mail that goes out twice, because the sender died between the server's
acceptance and its own note of it, carries the same one, so that mail servers and clients can tell.
"""

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address, BaseHeader, HeaderRegistry
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache

from services.notification.domain.deliveries import MailDelivery, to_one_line
from services.notification.mail.smtp import MailRejected
from services.notification.mail.templates import Recipient, RenderedMail


class _Headers(HeaderRegistry):
    """Makes the class of each header once; the standard library makes it anew for every header of every mail."""

    @cache  # noqa: B019 - there is one, for as long as the process lives
    def __getitem__(self, name: str) -> type[BaseHeader]:
        made: type[BaseHeader] = super().__getitem__(name)
        return made


POLICY = SMTP.clone(header_factory=_Headers())


def build_message(
    delivery: MailDelivery, rendered: RenderedMail, recipient: Recipient, sender: Address, sent_at: datetime
) -> EmailMessage:
    """Raises `Refused` where the address is not one that a mail can have."""
    mail = EmailMessage(policy=POLICY)
    mail["From"] = sender
    mail["To"] = _address(recipient)
    mail["Subject"] = to_one_line(delivery.subject)
    mail["Date"] = format_datetime(sent_at)
    mail["Message-ID"] = f"<{delivery.id}@{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["traceparent"] = delivery.traceparent
    if delivery.request_id:
        mail["X-Request-Id"] = to_one_line(delivery.request_id)
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    return mail


def _address(to: Recipient) -> Address:
    try:
        return Address(display_name=to_one_line(to.name), addr_spec=to.email)
    except (MessageError, ValueError, IndexError):  # the parser of the standard library fails in each of these ways
        raise MailRejected("the address is not one that a mail can have") from None
