"""Postal addresses: as a request gives them, and as they are stored with orders and in address books."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from contracts.countries import has_postal_codes, parse_country
from contracts.model import VISIBLE, CountryCode, Model, NonEmptyLine, SingleLine
from contracts.text_patterns import text_format
from contracts.vat_ids import VatId
from contracts.visible_text import is_visible

PHONE_DETAIL: Final = (
    "Send an international number such as +44 20 7946 0018, or national digits, with `ext. N` for an extension."
)
MIN_DIGITS, MIN_DIGITS_WITH_COUNTRY, MAX_DIGITS = 3, 7, 15
"""Digits of a phone number; E.164 has at most 15 with the country's."""
_EXTENSION: Final = re.compile(r"(ext|x)", re.IGNORECASE)
_TRUNK_ZERO: Final = "(0)"


class Address(Model):
    """A postal address. One that was stored long ago may break the rules for new ones."""

    name: Annotated[NonEmptyLine, StringConstraints(max_length=200), Field(description="The recipient.")]
    line1: Annotated[NonEmptyLine, StringConstraints(max_length=200), Field(description="Street and number.")]
    line2: Annotated[
        SingleLine | None, StringConstraints(max_length=200), Field(description="Flat, floor or company.")
    ] = None
    city: Annotated[NonEmptyLine, StringConstraints(max_length=100), Field(description="Town or city.")]
    region: Annotated[
        SingleLine | None, StringConstraints(max_length=100), Field(description="State, province or county.")
    ] = None
    country: Annotated[CountryCode, Field(description="ISO 3166-1 alpha-2 code.")]
    postal_code: Annotated[
        SingleLine | None, StringConstraints(max_length=20), Field(description="Postal or ZIP code.")
    ] = None
    phone: Annotated[
        SingleLine | None, StringConstraints(max_length=40), Field(description="For the carrier's questions.")
    ] = None
    company: Annotated[
        SingleLine | None, StringConstraints(max_length=200), Field(description="The company, if it is one's address.")
    ] = None
    vat_id: Annotated[
        SingleLine | None, StringConstraints(max_length=30), Field(description="The company's VAT id.")
    ] = None


def _require_dialable(phone: str) -> str:
    """Counts the digits; the pattern has checked the characters."""
    number = _EXTENSION.split(phone)[0]
    digits = re.sub("[^0-9]", "", number.replace(_TRUNK_ZERO, ""))
    is_international = number.startswith("+")
    least = MIN_DIGITS_WITH_COUNTRY if is_international else MIN_DIGITS
    if not least <= len(digits) <= MAX_DIGITS or (is_international and digits.startswith("0")):
        raise ValueError(PHONE_DETAIL)
    return phone


AssignedCountry = Annotated[
    str, text_format(r"^[A-Za-z]{2}$", "Send a country's two-letter ISO 3166 code."), AfterValidator(parse_country)
]
"""An assigned ISO 3166-1 alpha-2 code in any case; it is stored in capitals."""

PhoneNumber = Annotated[
    str,
    text_format(
        r"^\+?[0-9(][0-9 ()./-]*(,? ?([Ee][Xx][Tt]\.?|[Xx]) ?[0-9]{1,8})?$",
        PHONE_DETAIL,
        min_length=3,
        max_length=40,
        strip_whitespace=True,
    ),
    AfterValidator(_require_dialable),
]
"""An E.164 number, or national digits, with the usual separators and an optional extension."""


class AddressInput(Address):
    """A postal address. Where the country has postal codes, the address needs one."""

    name: Annotated[NonEmptyLine, StringConstraints(max_length=200), VISIBLE, Field(description="The recipient.")]
    line1: Annotated[NonEmptyLine, StringConstraints(max_length=200), VISIBLE, Field(description="Street and number.")]
    city: Annotated[NonEmptyLine, StringConstraints(max_length=100), VISIBLE, Field(description="Town or city.")]
    country: Annotated[AssignedCountry, Field(description="An assigned ISO 3166-1 alpha-2 code, in any case.")]
    postal_code: Annotated[
        SingleLine | None,
        StringConstraints(max_length=20, strip_whitespace=True),
        Field(validate_default=True, description="Postal or ZIP code; required where the country has them."),
    ] = None
    phone: Annotated[
        PhoneNumber | None, Field(description="For the carrier's questions; an extension follows as `ext. 12`.")
    ] = None
    vat_id: Annotated[
        VatId | None, Field(description="The company's VAT id with its country's prefix. Its form alone is checked.")
    ] = None

    @field_validator("postal_code")
    @classmethod
    def _require_postal_code(cls, value: str | None, info: ValidationInfo) -> str | None:
        """A country that is refused itself is not looked up."""
        given = value if value is not None and is_visible(value) else None
        country = info.data.get("country")
        if given is None and country is not None and has_postal_codes(country):
            message = f"Send the postal code; addresses in {country} have one."
            raise ValueError(message)
        return given
