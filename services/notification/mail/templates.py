"""How a mail looks: HTML and text from the templates, money as people write it.

Templates come in pairs, `order_paid.html.j2` and `order_paid.txt.j2`, on a layout of their own kind. HTML is escaped
wherever a value comes in; a template that names what is not there fails instead of leaving a gap.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from babel.numbers import format_currency, get_currency_symbol
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic import SecretStr

from contracts.money import CURRENCY_EXPONENTS, Money
from services.notification.domain.deliveries import MailDelivery, to_one_line

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
LOCALE = "en_US"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a customer is reached, as it was just now. Kept nowhere."""

    email: str
    name: str
    greeting: str
    token: SecretStr | None = None
    """What they show that they have got this mail, where it is for that."""


@dataclass(frozen=True, slots=True)
class RenderedMail:
    """What the customer reads, twice."""

    text: str
    html: str


class MailTemplates:
    """Writes letters for one shop. `shop_url` is where links lead; without it there are none."""

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

    def render(self, delivery: MailDelivery, recipient: Recipient) -> RenderedMail:
        said = {
            "order": delivery.facts,
            "subject": delivery.subject,
            "greeting": to_one_line(recipient.greeting),
            "token": recipient.token.get_secret_value() if recipient.token else None,
        }
        text, html = (
            self.environment.get_template(f"{delivery.kind}.{form}.j2").render(said) for form in ("txt", "html")
        )
        return RenderedMail(text.strip() + "\n", html)


def format_money(money: Money) -> str:
    """`$1,234.50`, `KWD 1.500`: with all digits of the minor unit as ISO 4217 has it, and never rounded."""
    digits = CURRENCY_EXPONENTS[money.currency]
    gap = "\N{NO-BREAK SPACE}" if get_currency_symbol(money.currency, LOCALE)[-1].isalpha() else ""
    pattern = f"¤{gap}#,##0" + (f".{'0' * digits}" if digits else "")
    amount = Decimal(money.amount).scaleb(-digits)
    return format_currency(amount, money.currency, pattern, LOCALE, currency_digits=False)
