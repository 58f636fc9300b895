"""How amounts, rates, dates and countries are written in the language of an invoice."""

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal, format_percent

from contracts.money import CURRENCY_EXPONENTS
from contracts.order import PPM
from services.order.domain.invoices import InvoiceDocument


class InvoiceFormats:
    """Writes the values of one document."""

    def __init__(self, document: InvoiceDocument) -> None:
        self._locale = Locale.parse(document.language)
        self._zone = ZoneInfo(document.time_zone)
        self._currency = document.currency
        self._digits = CURRENCY_EXPONENTS[document.currency]

    def amount(self, minor_units: int) -> str:
        """Returns an amount without its currency, such as `1,234.50`."""
        value = Decimal(minor_units).scaleb(-self._digits)
        pattern = "#,##0" + ("." + "0" * self._digits if self._digits else "")
        return str(format_decimal(value, format=pattern, locale=self._locale))

    def money(self, minor_units: int) -> str:
        """Returns an amount with the code of its currency: a sign such as `$` stands for several."""
        return f"{self.amount(minor_units)} {self._currency}"

    def rate(self, rate_ppm: int) -> str:
        """Returns a rate, such as `8.875%`."""
        return str(format_percent(Decimal(rate_ppm) / PPM, locale=self._locale, decimal_quantization=False))

    def date(self, at: datetime) -> str:
        """Returns the date of a moment in the shop's time zone."""
        return str(format_date(at.astimezone(self._zone).date(), "long", locale=self._locale))

    def country(self, code: str) -> str:
        """Returns the name of a country; its code if the language has no name for it."""
        return str(self._locale.territories.get(code, code))
