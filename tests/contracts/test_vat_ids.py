"""Which texts have the form of a VAT id."""

import pytest

from contracts.countries import EU_COUNTRIES
from contracts.vat_ids import VAT_ID_FORMS, parse_vat_id

VALID = [
    *("ATU12345678", "BE0123456789", "BG123456789", "CY12345678X", "CZ12345678", "DE123456789", "DK12345678"),
    *("EE123456789", "EL123456789", "ESX1234567X", "FI12345678", "FRXX123456789", "HR12345678901", "HU12345678"),
    *("IE1234567WA", "IE1A23456B", "IT12345678901", "LT123456789012", "LU12345678", "LV12345678901", "MT12345678"),
    *("NL123456789B01", "PL1234567890", "PT123456789", "RO12", "SE123456789012", "SI12345678", "SK1234567890"),
    *("CHE123456789MWST", "GB123456789", "GBGD123", "NO123456789MVA", "XI123456789", "AU51824753556"),
]


@pytest.mark.parametrize("vat_id", VALID)
def test_valid_forms(vat_id: str) -> None:
    assert parse_vat_id(vat_id) == vat_id


@pytest.mark.parametrize(
    ("text", "vat_id"),
    [("de 123 456 789", "DE123456789"), ("GR123456789", "EL123456789"), ("che-123.456.789 mwst", "CHE123456789MWST")],
)
def test_spellings_of_one_id_are_stored_alike(text: str, vat_id: str) -> None:
    assert parse_vat_id(text) == vat_id


@pytest.mark.parametrize(
    "text", ["DE12345678", "DE1234567890", "DE12345678X", "FRIO123456789", "ATX12345678", "123456789", "DE", "", "XX1"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="VAT id"):
        parse_vat_id(text)


def test_every_member_of_the_eu_has_a_form() -> None:
    assert {"EL" if country == "GR" else country for country in EU_COUNTRIES} <= VAT_ID_FORMS.keys()
