"""Postal addresses: countries, postal codes and phone numbers."""

from typing import Any

import pycountry
import pytest
from pydantic import ValidationError

from contracts.countries import COUNTRY_CODES, WITHOUT_POSTAL_CODES
from contracts.order import Address, AddressInput

LONDON = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}


def read(**changed: Any) -> AddressInput:
    return AddressInput.model_validate({**LONDON, **changed})


def refused_field(**changed: Any) -> str:
    with pytest.raises(ValidationError) as error:
        read(**changed)
    (found,) = error.value.errors()
    return str(found["loc"][0])


def test_countries_are_those_of_iso_3166() -> None:
    assert {country.alpha_2 for country in pycountry.countries} == COUNTRY_CODES
    assert WITHOUT_POSTAL_CODES < COUNTRY_CODES


@pytest.mark.parametrize("code", ["gb", "Gb", "gB", "GB"])
def test_country_is_taken_in_any_case(code: str) -> None:
    assert read(country=code).country == "GB"


@pytest.mark.parametrize(
    "code", ["XX", "uk", "UK", "EU", "ZZ", "AA", "XK", "SU", "AN", "", "G", "GBR", " GB", "\uff27\uff22", "🇬🇧"]
)
def test_unassigned_country_is_refused(code: str) -> None:
    assert refused_field(country=code) == "country"


@pytest.mark.parametrize("country", ["US", "de", "JP", "IN", "BR", "IE", "AU"])
@pytest.mark.parametrize("missing", [None, "", "  ", "\u200b"])
def test_postal_code_is_required_where_the_country_has_them(country: str, missing: str | None) -> None:
    assert refused_field(country=country, postal_code=missing) == "postal_code"


def test_missing_postal_code_is_refused_like_an_empty_one() -> None:
    with pytest.raises(ValidationError) as error:
        AddressInput.model_validate({name: value for name, value in LONDON.items() if name != "postal_code"})
    assert [found["loc"] for found in error.value.errors()] == [("postal_code",)]


@pytest.mark.parametrize("country", ["HK", "ae", "QA", "JM", "BS", "AO", "MO", "FJ"])
@pytest.mark.parametrize("missing", [None, "", "  ", "\u200b"])
def test_postal_code_is_optional_where_the_country_has_none(country: str, missing: str | None) -> None:
    assert read(country=country, postal_code=missing).postal_code is None
    assert read(country=country, postal_code=" 00000 ").postal_code == "00000"


@pytest.mark.parametrize(
    "phone",
    [
        "+442079460018",
        "+44 20 7946 0018",
        "+44 (0)20 7946 0018",
        "+1 (212) 555-0100",
        "+1.212.555.0100",
        "020 7946 0018",
        "(020) 7946/0018",
        "112",
        "020 7946 0018 ext. 12",
        "+442079460018 ext. 1",
        "+44 20 7946 0018, EXT 1234",
        "020 7946 0018 x12",
        "030-901820 Ext.45678",
    ],
)
def test_phone_number_is_taken_with_an_extension(phone: str) -> None:
    assert read(phone=phone).phone == phone


@pytest.mark.parametrize(
    "phone",
    [
        "",
        "12",
        "----",
        "()",
        "+12345",
        "+0 20 7946 0018",
        "1" * 16,
        "++442079460018",
        "ext. 12",
        "020 7946 0018 ext.",
        "020 7946 0018 ext. x",
        "020 7946 0018 ext. 1 ext. 2",
        "0800 FLOWERS",
        "020\n7946",
        "٠٢٠٧٩٤٦٠٠١٨",
        "0" + " " * 38 + "12",
    ],
)
def test_other_text_is_no_phone_number(phone: str) -> None:
    assert refused_field(phone=phone) == "phone"


@pytest.mark.parametrize("field", ["name", "line1", "city"])
@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u2060\ufeff", "\u3164", "\u2800 \u00ad", "\u0301", "\ufe0f"])
def test_invisible_text_is_empty(field: str, text: str) -> None:
    assert refused_field(**{field: text}) == field


def test_stored_address_is_read_whatever_rules_it_breaks() -> None:
    """An erased one has a placeholder for its country."""
    old = {**LONDON, "name": "\u200b", "country": "ZZ", "phone": "----", "postal_code": None}
    assert Address.model_validate(old).country == "ZZ"
