"""Renders mails from Jinja templates, as HTML and as plain text.

Templates come in pairs, such as `order_paid.html.j2` and `order_paid.txt.j2`, each with a layout. Values are escaped in
HTML. A template that refers to a missing value fails instead of leaving a gap.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.numbers import get_currency_symbol
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from contracts.money import CURRENCY_EXPONENTS, Money
from contracts.notification import NotificationKind
from services.notification.domain.deliveries import MailDelivery
from services.notification.domain.mails import to_one_line
from services.notification.domain.names import to_name_line
from services.notification.mail.recipients import Recipient

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
LOCALE = "en_US"
FORMS = ("txt", "html")


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """The two forms of a mail's content."""

    text: str
    html: str


class MailTemplates:
    """Renders the mails of one shop. Links lead to `shop_url`; without it there are none."""

    def __init__(self, shop_name: str, shop_url: str) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(("html.j2",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self.environment.filters["money"] = format_money
        self.environment.globals.update(shop_name=to_one_line(shop_name), shop_url=shop_url.rstrip("/"))
        self._text, self._html = ({kind: self._template(kind, form) for kind in NotificationKind} for form in FORMS)

    def _template(self, kind: NotificationKind, form: str) -> Template:
        return self.environment.get_template(f"{kind}.{form}.j2")

    def render(self, delivery: MailDelivery, recipient: Recipient) -> RenderedMail:
        """Renders both forms of a mail; raises `UndefinedError` when a value is missing."""
        values = {
            "order": delivery.facts,
            "subject": delivery.subject,
            "greeting": to_name_line(recipient.greeting),
            "token": recipient.token.get_secret_value() if recipient.token else None,
        }
        text, html = self._text[delivery.kind].render(values), self._html[delivery.kind].render(values)
        return RenderedMail(text.strip() + "\n", html)


@cache
def _currency_prefix(currency: str) -> str:
    """The symbol before an amount, with a gap if it ends with a letter."""
    symbol = get_currency_symbol(currency, LOCALE)
    return f"{symbol}\N{NO-BREAK SPACE}" if symbol[-1].isalpha() else symbol


def format_money(money: Money) -> str:
    """Formats an amount with all minor digits of ISO 4217, never rounded: `$1,234.50`, `KWD 1.500`."""
    digits = CURRENCY_EXPONENTS[money.currency]
    units, minor = divmod(abs(money.amount), 10**digits)
    fraction = f".{minor:0{digits}}" if digits else ""
    return f"{'-' if money.amount < 0 else ''}{_currency_prefix(money.currency)}{units:,}{fraction}"
