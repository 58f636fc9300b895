"""Money: an integer amount in minor units of one currency, never a float."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.model import Model
from contracts.text_patterns import text_format

MAX_AMOUNT = 10**12
"""The largest amount, in minor units."""

_TWO_DECIMALS = """
AED ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE
CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW
KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK
PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS
UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW
"""
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"

CURRENCY_EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_TWO_DECIMALS.split(), 2),
    **dict.fromkeys(_NO_DECIMALS.split(), 0),
    **dict.fromkeys(_THREE_DECIMALS.split(), 3),
}
"""The active currencies of ISO 4217, with the number of decimal digits of their minor unit."""


def _require_iso_4217(code: str) -> str:
    if code not in CURRENCY_EXPONENTS:
        message = "Input should be an ISO 4217 currency code, such as USD"
        raise ValueError(message)
    return code


CurrencyCode = Annotated[
    str,
    text_format(r"^[A-Z]{3}$", "Send an ISO 4217 currency code, such as USD."),
    Field(description="An ISO 4217 currency code.", examples=["USD"]),
    AfterValidator(_require_iso_4217),
]


class Money(Model):
    """An amount in minor units, such as cents, and its currency."""

    amount: Annotated[int, Field(ge=0, le=MAX_AMOUNT, description="Minor units.", examples=[1999])]
    currency: CurrencyCode

    def times(self, quantity: int) -> "Money":
        """Returns the price of several units."""
        return self.model_copy(update={"amount": self.amount * quantity})


def sum_money(amounts: "list[Money]", currency: str) -> Money:
    """Returns the sum of amounts that are all in `currency`."""
    assert all(money.currency == currency for money in amounts), "cannot add amounts of different currencies"
    return Money.model_construct(amount=sum(money.amount for money in amounts), currency=currency)


def divide_half_up(dividend: int, divisor: int) -> int:
    """Returns the quotient of a dividend of 0 or more, rounded to the nearest integer, a half upwards."""
    return (2 * dividend + divisor) // (2 * divisor)


def allocate(amount: int, weights: Sequence[int]) -> list[int]:
    """Divides an amount in proportion to weights of 0 or more, one of them positive; the shares add up to it.

    Every share is rounded down, and the units that remain go to the largest remainders, an earlier one first when two
    are equal. So no share of an amount up to the sum of the weights is larger than its weight.
    """
    total = sum(weights)
    shares = [amount * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: -(amount * weights[at] % total))
    for at in by_remainder[: amount - sum(shares)]:
        shares[at] += 1
    return shares


def share_of_units(amount: int, quantity: int, *, first: int, count: int) -> int:
    """Returns what `count` units of a line carry of its amount, after the `first` units were dealt with.

    The share of the first units is rounded as a whole and the difference of two such shares returned, so the parts of
    a line add up to the line in whichever steps they are taken.
    """
    return divide_half_up(amount * (first + count), quantity) - divide_half_up(amount * first, quantity)
